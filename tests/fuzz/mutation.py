"""Make foreign bytes of sound ones: flips, cuts, repeats, and in JSON the values that people and enemies write."""

from __future__ import annotations

import json
from random import Random
from typing import Any

DEEP: Any = json.loads("[" * 200 + "]" * 200)
STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 10**400, 1e308, float("inf"), float("nan"), "", "²", "\0", "\ud800", "../../x",
    "/etc/passwd", "\x1b]0;title\x07", "a" * 5000, [], {}, [[]], {"a": {}}, [1, "x", None], DEEP, 0.5, "1", "\u202e",
)  # fmt: skip
PIECES = (
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"[",
    b"{",
    b"}",
    b'"',
    b":",
    b"\xc2\xb2",
    b"9" * 5000,
    b"[" * 3000,
    b"-",
    b"..",
)


def mutated(chance: Random, data: bytes) -> bytes:
    """Return `data` changed in one to four places; JSON now and then as JSON."""
    for _ in range(chance.randint(1, 4)):
        changed = _json(chance, data) if chance.random() < 0.5 else None
        data = _bytes(chance, data) if changed is None else changed
    return data


def _bytes(chance: Random, data: bytes) -> bytes:
    at = chance.randint(0, len(data))
    to = min(len(data), at + chance.choice((1, 1, 2, 4, 8, 100)))
    match chance.randint(0, 6):
        case 0:
            return data[:at] + bytes(chance.getrandbits(8) for _ in data[at:to]) + data[to:]
        case 1:
            return data[:at] + bytes(value ^ (1 << chance.randint(0, 7)) for value in data[at:to]) + data[to:]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + data[to:]
        case 4:
            return data[:at] + chance.choice(PIECES) + data[at:]
        case 5:
            return data[:at] + data[at:to] * chance.choice((2, 5)) + data[to:]
        case _:
            return data[:at] + bytes(chance.choice((1, 4, 20))) + data[at:]


def _json(chance: Random, data: bytes) -> bytes | None:
    """Return `data` with one value, or one key, of its JSON changed; None where it is none."""
    try:
        document = json.loads(data)
        places = list(_places(document))
        if not places:
            return None
        holder, key = chance.choice(places)
        if isinstance(holder, dict) and chance.random() < 0.2:
            holder[chance.choice(("", "extra", "\ud800", "a" * 300))] = holder.pop(key)
        elif chance.random() < 0.15:
            del holder[key]
        else:
            holder[key] = chance.choice(STRANGE)
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return None


def _places(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict | list) and depth < 20:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key], depth + 1)
