"""An event's JSON in a third of its size: deflate, begun with a dictionary of what every event says."""

from __future__ import annotations

import zlib
from typing import Final

# Never changes: what was written with it is read with it. What comes most often stands last.
_DICTIONARY: Final = (
    b'"open":false,"state":"connecting","state":"lost","why":"","from_media_s":,"to_media_s":,"blind_s":,"type":'
    b'"coverage_gap","type":"source_state","type":"alert","rule":"","severity":"warning","event_ids":["'
    b'"],"interaction_ids":["],"interactions":["],"sources":["],"human_ids":["line":"","direction":"in","count":'
    b'"type":"line_crossed","reason":"score","reason":"lost","why":"pair unseen for 2.0 s","why":"score 0.'
    b' < leave 0.33 for 0. s","reason":"interval","why":"still 0. \xe2\x89\xa5 leave 0.33","model_fingerprint":"'
    b'{"schema_version":1,"event_id":"","run_id":"","source_id":"camera","seq":,"media_time_s":,"capture_time":"2026-'
    b'","published_time":"2026-T::.Z","interaction_id":"","pair_id":,"human_id":,"object_id":,"verb":"","object":"'
    b'","interaction":"","prompt":"a photo of a person ing a .","score":0.,"peak_score":0.,"human_box_xyxy_px":['
    b'"],"object_box_xyxy_px":[],"frame_width_px":1920,"frame_height_px":1080,"started_media_s":,"duration_s":,'
    b'"vocabulary_fingerprint":"","zones":[],"dwell_s":{},"type":"started"}"type":"ended"}"type":"updated"}'
)
_LEVEL = 1  # higher ones take three times as long for a tenth less


def pack_body(document: bytes) -> bytes:
    """Return the bytes to be stored; `unpack_body` is the inverse."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    return packer.compress(document) + packer.flush()


def unpack_body(body: bytes) -> bytes:
    """Return the document in a stored body."""
    unpacker = zlib.decompressobj(-15, _DICTIONARY)
    return unpacker.decompress(body) + unpacker.flush()
