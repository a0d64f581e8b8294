"""What has to be known about H.264 and HEVC packets: whether one starts anew, owing nothing to any before.

Source: ITU-T H.264 (table 7-1) and H.265 (table 7-1) for the types of units.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_H264_IDR: Final = 5
_HEVC_STARTS: Final = range(16, 21)  # BLA and IDR pictures; frames shown before them cannot be made from older ones
_HEVC_FIRST_SHOWN: Final = frozenset({18, 20})  # those of them before which no later one is shown
_PARAMETER_SETS: Final = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}
_START_CODE: Final = b"\x00\x00\x01"


class NalReader:
    """Looks into packets of one stream; `extradata` is what its container says about the codec."""

    def __init__(self, codec_name: str, extradata: bytes | None) -> None:
        self._codec_name = codec_name
        self._length_bytes = _length_bytes(codec_name, extradata or b"")
        self._parameter_sets_came = False

    def starts_anew(self, packet: bytes) -> bool:
        """Return whether nothing from here on, in whatever order it is shown, needs a packet before this one."""
        if self._codec_name == "h264":
            return any(unit[0] & 31 == _H264_IDR for unit in self._units(packet))
        if self._codec_name == "hevc":
            return any(unit[0] >> 1 & 63 in _HEVC_STARTS for unit in self._units(packet))
        return False

    def is_fresh_start(self, packet: bytes, *, new_extradata: bool = False) -> bool:
        """Return whether a decoder that knows nothing but the container's description may begin with this packet.

        Called for every packet in order: one that starts anew must bring its own parameter sets where any came between
        the pictures (or as `new_extradata` beside a packet), and all frames before it are shown before it.
        """
        needed = _PARAMETER_SETS.get(self._codec_name)
        if needed is None:
            return False
        kinds = {self._kind(unit) for unit in self._units(packet)}
        self._parameter_sets_came |= new_extradata or not needed.isdisjoint(kinds)
        starts = {_H264_IDR} if self._codec_name == "h264" else _HEVC_FIRST_SHOWN
        return not kinds.isdisjoint(starts) and (not self._parameter_sets_came or needed <= kinds)

    def _kind(self, unit: bytes) -> int:
        return unit[0] & 31 if self._codec_name == "h264" else unit[0] >> 1 & 63

    def _units(self, packet: bytes) -> Iterator[bytes]:
        """Yield the beginning of each NAL unit, one byte at least."""
        if self._length_bytes is None:
            at = packet.find(_START_CODE)
            while 0 <= at < len(packet) - 3:
                yield packet[at + 3 : at + 4]
                at = packet.find(_START_CODE, at + 3)
            return
        at, size = 0, self._length_bytes
        while at + size < len(packet):
            length = int.from_bytes(packet[at : at + size])
            yield packet[at + size : at + size + 1]
            at += size + max(1, length)


def _length_bytes(codec_name: str, extradata: bytes) -> int | None:
    """Return how many bytes give a unit's length; None where start codes part them (transport and raw streams)."""
    place = {"h264": 4, "hevc": 21}.get(codec_name)
    if place is None or len(extradata) <= place or extradata[0] != 1:
        return None
    return (extradata[place] & 3) + 1
