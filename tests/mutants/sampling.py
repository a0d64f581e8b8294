"""Which mutants are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def drawn(names: Iterable[str], part: float, seed: int) -> list[str]:
    """Return about `part` of `names`: by a hash of seed and name, so that a larger part contains a smaller one."""
    return [name for name in names if _fraction(f"{seed} {name}") < part]


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
