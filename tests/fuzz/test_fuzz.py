"""Whatever foreign bytes say, the answer is a value or one of our errors: never a traceback, never without bound.

`make soak` does the same for long, guided by coverage (`tests/fuzz/long.py`).
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS, Target, feed

NAMES = [target.name for target in TARGETS]


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_sound_and_notorious_inputs_are_taken_or_refused(target: Target) -> None:
    examples = target.sound()
    taken = [feed(target, data) for data in (*examples, b"", b"\0", b"\xff\xfe", b"{}", b"[]", b"[" * 100_000)]
    assert taken[0] == target.takes_examples


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), raw=st.none() | st.binary(max_size=200))
def test_changed_inputs_are_taken_or_refused(target: Target, seed: int, raw: bytes | None) -> None:
    chance = Random(seed)
    feed(target, raw if raw is not None else mutated(chance, chance.choice(target.sound())))
