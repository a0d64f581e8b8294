"""What a decoder process and its supervisor say to each other, both ways, and the check of all that crosses.

Supervisor to decoder: one line with the `Job`, then one byte for each slot of the ring that is free again. Decoder to
supervisor: one `Message` a line. A line is a JSON document whose keys are the fields of the dataclasses below, so
nothing is spelled twice. FFmpeg eats hostile input in the decoder: whatever comes from there is checked field by field
before anybody uses it, and a line that is no message ends that decoder alone.
"""

from __future__ import annotations

import json
import math
import operator
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.foreign_text import harmless

MAX_LINE_BYTES: Final = 1 << 16
MAX_NUMBER: Final = 1 << 53
HUNG_EXIT_CODE: Final = 75  # how a decoder ends itself when FFmpeg does not come back

FailureReason = Literal[
    "end_of_stream",
    "failed",
    "invalid",
    "no_video",
    "not_found",
    "redirected",
    "refused",
    "stalled",
    "too_large",
    "truncated",
    "unauthorised",
    "unreachable",
    "unsafe",
]
"""Why a source cannot be read (on); a decoder's part of the reason codes in docs/events.md."""

Words = Annotated[str, harmless]
"""One line for people; made harmless where it is received."""


class WireError(ValueError):
    """What was received is no message, or one that cannot be true; the text says what is wrong with it."""


@dataclass(frozen=True)
class Counts:
    """Running counts of one decoder process; they never fall."""

    decoded: int = 0  # frames the source had
    skipped: int = 0  # not chosen, by the target rate
    errors: int = 0  # damaged packets and frames
    ring_full: int = 0  # chosen and dropped: no slot was free
    stale: int = 0  # chosen and dropped: too old

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were chosen and dropped in the decoder, by reason."""
        return {"ring_full": self.ring_full, "stale": self.stale}

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(operator.add, vars(self).values(), vars(other).values()))

    def highest(self, other: Counts) -> Counts:
        """Return the higher one of each count."""
        return Counts(*map(max, vars(self).values(), vars(other).values()))

    def falls_below(self, other: Counts) -> bool:
        """Return whether any count is lower than in `other`."""
        return any(map(operator.lt, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class Resume:
    """Where a recording goes on: after the last frame that a decoder before this one has delivered."""

    media_s: float  # its media time
    counts: Counts  # with it


@dataclass(frozen=True)
class Job:
    """What a decoder is to do: the first line it reads."""

    settings: SourceSettings
    ring_fd: int  # descriptor of the ring's memory, inherited
    run_started_s: float  # monotonic; media time 0 of live sources
    resume: Resume | None  # recordings: None at the beginning
    epoch: int  # connections that there were before
    last_media_s: float  # live: media time of the last frame so far
    busy_slots: tuple[int, ...]  # of the ring, whose frames the pipeline has not taken yet


@dataclass(frozen=True)
class Alive:
    """The process works, whatever FFmpeg does; sent a few times a second."""


@dataclass(frozen=True)
class Opened:
    """Frames follow. Width and height in px as the container declares them, before rotation."""

    epoch: int  # counts connections, from 1
    width: int
    height: int
    fps: float | None
    codec: Words
    duration_s: float | None


@dataclass(frozen=True)
class Frame:
    """A chosen frame lies in a slot of the ring."""

    slot: int
    index: int  # counts the frames of the source, from 0
    media_s: float
    captured_s: float | None  # monotonic; None for recordings
    width: int  # of the picture after rotation, px
    height: int
    canvas: Canvas
    corrupt: bool
    epoch: int
    counts: Counts


@dataclass(frozen=True)
class Resumed:
    """A camera that was silent sends again."""

    counts: Counts


@dataclass(frozen=True)
class Lost:
    """A camera is away; the decoder tries again by itself. `counts` is None when FFmpeg is in the middle of a frame."""

    reason: FailureReason
    detail: Words
    counts: Counts | None


@dataclass(frozen=True)
class Ended:
    """A recording was read to its end."""

    media_s: float  # time of the last frame
    counts: Counts


@dataclass(frozen=True)
class Failed:
    """The source cannot be read further, and trying again would not help."""

    reason: FailureReason
    detail: Words
    counts: Counts


Message = Alive | Opened | Frame | Resumed | Lost | Ended | Failed
_KINDS: Final[dict[str, type[Message]]] = {kind.__name__: kind for kind in get_args(Message)}
_KIND: Final = "kind"


# Supervisor to decoder.


def encode_job(job: Job) -> bytes:
    """Return the line of a job; it holds the source's password."""
    return _line(vars(job))


def decode_job(line: bytes) -> Job:
    """Return the job in a line. Raises WireError for anything else."""
    return _checked(Job, _document(line))


def encode_slots(slots: Iterable[int]) -> bytes:
    """Return what tells a decoder that `slots` are free again."""
    return bytes(slots)


def decode_slots(data: bytes) -> list[int]:
    """Return the slots in what was read, whatever its length."""
    return list(data)


# Decoder to supervisor.


def encode_message(message: Message) -> bytes:
    """Return the line of a message."""
    return _line({_KIND: type(message).__name__, **vars(message)})


def decode_message(line: bytes) -> Message:
    """Return the message in a line, checked field by field. Raises WireError for anything else."""
    values = _document(line)
    name = values.pop(_KIND, None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError(f"a message of no known kind: {_shown(name)}")
    return _checked(kind, values)


class MessageReader:
    """Cuts what arrives into lines and these into messages; keeps the piece of a line that is not complete."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that `data` completes. Raises WireError at the first line that is none."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            yield decode_message(line)
        if len(self._partial) > MAX_LINE_BYTES:
            raise WireError(f"a line without end ({len(self._partial)} bytes)")


# The check: each field against the type it is declared with.


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, default=vars, allow_nan=False).encode() + b"\n"


def _document(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise WireError(f"a line of {len(line)} bytes; {MAX_LINE_BYTES} are allowed")
    try:
        values = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise WireError(f"what is no JSON: {_shown(line)}") from error
    if not isinstance(values, dict):
        raise WireError(f"JSON that is no object: {_shown(values)}")
    return values


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


Checked = TypeVar("Checked")


def _checked(kind: type[Checked], values: dict[str, Any]) -> Checked:
    checks = _checks(kind)  # type: ignore[arg-type]  # mypy doubts that a class can be hashed
    if values.keys() != checks.keys():
        wrong = ", ".join(sorted(values.keys() ^ checks.keys()))
        raise WireError(f"{kind.__name__} with fields missing or unknown: {harmless(wrong, 120)}")
    arguments = {}
    for name, check in checks.items():
        try:
            arguments[name] = check(values[name])
        except WireError as error:
            raise WireError(f"{kind.__name__}.{name}: {error}") from None
    try:
        return kind(**arguments)
    except ValueError as error:  # settings that cannot work
        raise WireError(harmless(error)) from error


@cache
def _checks(kind: type) -> dict[str, Callable[[Any], Any]]:
    return {name: _check(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _check(hint: Any) -> Callable[[Any], Any]:
    """Return what turns a JSON value into one of type `hint`, or raises WireError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_dataclass(hint):
        return lambda value: _checked(hint, _instance(dict, value))  # type: ignore[arg-type]
    if hint is Canvas:
        return _canvas
    if origin is Annotated:
        inner, clean = _check(arguments[0]), arguments[1]
        return lambda value: clean(inner(value))
    if origin is Literal:
        return lambda value: value if isinstance(value, str) and value in arguments else _refuse(value, arguments)
    if origin in (Union, UnionType) and arguments[-1] is NoneType:
        inner = _check(arguments[0])
        return lambda value: None if value is None else inner(value)
    if origin is tuple and arguments[1:] == (...,):
        inner = _check(arguments[0])
        return lambda value: tuple(map(inner, _instance(list, value)))
    raise TypeError(f"fields of type {hint} cannot cross")


def _canvas(value: Any) -> Canvas:
    sides = _instance(list, value)
    if len(sides) != 2:
        raise WireError(f"expected height and width, got {len(sides)} numbers")
    return Canvas(*map(_whole, sides))


def _instance(kind: type[Checked], value: Any) -> Checked:
    return value if isinstance(value, kind) else _refuse(value, kind.__name__)


def _whole(value: Any) -> int:
    if type(value) is int and 0 <= value <= MAX_NUMBER:
        return value
    return _refuse(value, "a whole number from 0 up")


def _finite(value: Any) -> float:
    if type(value) in (int, float) and abs(value) <= MAX_NUMBER and math.isfinite(value):
        return float(value)
    return _refuse(value, "a finite number")


def _refuse(value: Any, expected: object) -> NoReturn:
    raise WireError(f"expected {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    return harmless(reprlib.repr(value), 60)  # bounded in depth and length, as `repr` is not


_PLAIN: Final[dict[Any, Callable[[Any], Any]]] = {
    int: _whole,
    float: _finite,
    bool: lambda value: _instance(bool, value),
    str: lambda value: _instance(str, value),
}
