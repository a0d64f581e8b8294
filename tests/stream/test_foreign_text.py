from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.foreign_text import MAX_CHARACTERS, harmless


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no stream (404)", "no stream (404)"),
        ("naïve 影 ok", "naïve 影 ok"),
        ("a\r\nERROR forged\tline", "a ERROR forged line"),
        ("\x1b[2Jrtsp://a/\x07", "�[2Jrtsp://a/�"),
        ("\x9b31m", "�31m"),  # the one-byte form of ESC [
        ("abc\u202egpj.exe", "abc�gpj.exe"),
        ("half \ud800", "half �"),
        ("a\u2028b", "a b"),
    ],
)
def test_what_a_terminal_or_a_log_would_act_on_is_taken_out(text: str, expected: str) -> None:
    assert harmless(text) == expected


def test_a_long_text_is_cut() -> None:
    assert harmless("x" * 10_000) == "x" * (MAX_CHARACTERS - 1) + "…"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters()))
def test_any_text_becomes_one_printable_line_that_can_be_encoded_and_stays_as_it_is(text: str) -> None:
    line = harmless(text)
    assert line.isprintable()
    assert len(line) <= MAX_CHARACTERS
    line.encode()
    assert harmless(line) == line
