"""How a record lies in a segment: a frame that is told from damage, and found again behind it.

Layout, little endian: mark, kind, payload length, number, CRC-32 of these three, CRC-32 of the payload, payload. The
mark begins with a byte that no UTF-8 text holds, so no JSON looks like a frame; zero bytes, which a power cut leaves
at a file's end, do not either. The number counts records since the spool was made: what is missing between two frames
is known exactly. The head's own checksum tells a frame that was never written to its end from a damaged one.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, Literal, NamedTuple

RECORD: Final = b"R"
"""An event."""

SNAPSHOT: Final = b"O"
"""What had begun and not ended when the segment began; its number is that of the next record."""

MARK: Final = b"\xf5HS"
MAX_PAYLOAD: Final = 1 << 24
_HEAD = struct.Struct("<3scIQII")
_COUNTS = struct.Struct("<cIQ")
HEAD_BYTES: Final = _HEAD.size
_COUNTS_AT = slice(len(MARK), len(MARK) + _COUNTS.size)


def pack_frame(kind: bytes, number: int, payload: bytes) -> bytes:
    """Return the bytes of one frame."""
    counts = _COUNTS.pack(kind, len(payload), number)
    head = _HEAD.pack(MARK, kind, len(payload), number, zlib.crc32(counts), zlib.crc32(payload))
    return head + payload


class Run(NamedTuple):
    """What `read_run` found."""

    records: list[bytes]  # payloads, of consecutive numbers
    end: int  # offset behind the last frame
    number: int  # of the record that is expected there
    stopped: Literal["limit", "short", "broken", "jump"]
    """limit: as many as were asked for. short: the next frame is not wholly in the block. broken: what is there is no
    sound frame. jump: what is there is a sound record with a higher number."""


def read_run(block: bytes, at: int, number: int, limit: int) -> Run:
    """Return the records `number`, `number` + 1, … from offset `at` of `block`, at most `limit`.

    Records with lower numbers are passed over: they are left from before a segment was begun anew in place.
    """
    records: list[bytes] = []
    size, unpack, crc32 = len(block), _HEAD.unpack_from, zlib.crc32
    counts_from, counts_to = _COUNTS_AT.start, _COUNTS_AT.stop
    while len(records) < limit:
        start = at + HEAD_BYTES
        if start > size:
            return Run(records, at, number, "short" if MARK.startswith(block[at : at + len(MARK)]) else "broken")
        mark, kind, length, found, head_crc, payload_crc = unpack(block, at)
        if mark != MARK or length > MAX_PAYLOAD or crc32(block[at + counts_from : at + counts_to]) != head_crc:
            return Run(records, at, number, "broken")
        end = start + length
        if end > size:
            return Run(records, at, number, "short")
        payload = block[start:end]
        if crc32(payload) != payload_crc:
            return Run(records, at, number, "broken")
        if kind == SNAPSHOT:
            number = max(number, found)
        elif found > number:
            return Run(records, at, number, "jump")
        elif found == number:
            records.append(payload)
            number += 1
        at = end
    return Run(records, at, number, "limit")


def number_at(block: bytes, at: int) -> int:
    """Return the number of the sound frame at offset `at`."""
    return int(_HEAD.unpack_from(block, at)[3])


def find_frame(block: bytes, at: int) -> int | None:
    """Return the offset of the first sound frame at or behind `at`; None where there is none."""
    while (at := block.find(MARK, at)) >= 0:
        if frame_at(block, at) is not None:
            return at
        at += 1
    return None


class Frame(NamedTuple):
    """One sound frame."""

    kind: bytes
    number: int
    payload: bytes
    end: int  # offset behind it


def frame_at(block: bytes, at: int) -> Frame | None:
    """Return the frame at offset `at`; None where there is no sound one."""
    start = at + HEAD_BYTES
    length = _length_in(block[at:start])
    if length is None:
        return None
    _, kind, _, number, _, payload_crc = _HEAD.unpack_from(block, at)
    payload = block[start : start + length]
    if len(payload) < length or zlib.crc32(payload) != payload_crc:
        return None
    return Frame(kind, number, payload, start + length)


def is_torn(tail: bytes) -> bool:
    """Whether `tail`, the end of a file, is what a killed writer or a power cut leaves of records never promised.

    That is: the beginning of one frame, zero bytes, or the first followed by the second. Anything else is damage.
    """
    written = tail.rstrip(b"\0")
    if not written:
        return True
    if not written.startswith(MARK[: len(written)]) or written.find(MARK, 1) >= 0:
        return False
    if len(written) < len(tail) or len(tail) < HEAD_BYTES:
        return True
    length = _length_in(tail[:HEAD_BYTES])
    return length is not None and len(tail) < HEAD_BYTES + length


def _length_in(head: bytes) -> int | None:
    """Return the payload's length that a frame's head tells; None where it is no sound head."""
    if len(head) < HEAD_BYTES:
        return None
    mark, _, length, _, head_crc, _ = _HEAD.unpack(head)
    sound = mark == MARK and length <= MAX_PAYLOAD and zlib.crc32(head[_COUNTS_AT]) == head_crc
    return int(length) if sound else None
