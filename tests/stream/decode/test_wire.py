"""What a decoder and its supervisor say to each other: nothing is lost on the way, and lies are refused."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoiclip.types import Canvas
from stream.decode import wire
from stream.decode.sources import SourceSettings
from stream.decode.wire import (
    Alive,
    Counts,
    Ended,
    Failed,
    Frame,
    Lost,
    Message,
    MessageReader,
    Opened,
    Resumed,
    WireError,
    decode_message,
    encode_message,
)

COUNTS = Counts(decoded=9, skipped=3, errors=2, ring_full=1, stale=0)
FRAME = Frame(1, 8, 1.5, 900.25, 640, 360, Canvas(32, 48), False, 2, COUNTS)
MESSAGES: tuple[Message, ...] = (
    Alive(),
    Opened(2, 640, 360, 29.97, "h264", None),
    Opened(0, 640, 360, None, "hevc", 12.5),
    FRAME,
    Frame(0, 0, 0.0, None, 1, 1, Canvas(4, 8), True, 0, Counts()),
    Resumed(COUNTS),
    Lost("stalled", "no data for 3 s", None),
    Lost("refused", "cam:554 refused the connection", COUNTS),
    Ended(12.48, COUNTS),
    Failed("truncated", "is cut off at 1.0 s of 4.0 s", COUNTS),
)


def test_every_message_arrives_as_it_was_sent_however_it_is_cut_into_pieces() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))
    data = b"".join(map(encode_message, MESSAGES))
    for size in (1, 7, 64, len(data)):
        reader = MessageReader()
        pieces = (data[start : start + size] for start in range(0, len(data), size))
        assert tuple(message for piece in pieces for message in reader.feed(piece)) == MESSAGES


def test_a_job_arrives_with_its_settings_and_password() -> None:
    source = SourceSettings("cam", "rtsp://u:p@cam/", "live", (Canvas(256, 448), Canvas(448, 256)), target_fps=None)
    for resume in (None, wire.Resume(0.1 + 0.2, wire.Counts(7, 3, 1))):
        job = wire.Job(source, 5, 1234.5, resume, 3, 99.5, (0, 4))
        assert wire.decode_job(wire.encode_job(job)) == job


def test_freed_slots_arrive() -> None:
    assert wire.decode_slots(wire.encode_slots([0, 7, 249])) == [0, 7, 249]


def changed(message: Message, path: str, value: Any) -> bytes:
    document = json.loads(encode_message(message))
    *folders, name = path.split(".")
    place = document
    for folder in folders:
        place = place[folder]
    place[name] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"not json", "no JSON"),
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "no object"),
        (b"3", "no object"),
        (b"{}", "no known kind"),
        (b'{"kind": ["Frame"]}', "no known kind"),
        (b'{"kind": "frame"}', "no known kind"),
        (b'{"kind": "Frame"}', "fields missing or unknown"),
        (b'{"kind": "Alive", "more": 1}', "fields missing or unknown: more"),
        (b"[" * 60_000, "no JSON|no object"),
        (b'{"kind": "Ended", "media_s": ' + b"9" * 5000 + b', "counts": {}}', "no JSON|a finite number"),
        (b'{"kind": "Ended", "media_s": NaN, "counts": {}}', "no JSON"),
        (b'{"kind": "Ended", "media_s": 1e999, "counts": {}}', "finite"),
        (changed(FRAME, "media_s", -1e300), "finite"),
        (changed(FRAME, "media_s", "1.0"), "finite"),
        (changed(FRAME, "media_s", None), "finite"),
        (changed(FRAME, "slot", -1), "whole number"),
        (changed(FRAME, "slot", 1.0), "whole number"),
        (changed(FRAME, "slot", True), "whole number"),
        (changed(FRAME, "index", 1 << 60), "whole number"),
        (changed(FRAME, "corrupt", 1), "expected bool"),
        (changed(FRAME, "canvas", [32]), "height and width"),
        (changed(FRAME, "canvas", {"height": 1}), "expected list"),
        (changed(FRAME, "counts", None), "expected dict"),
        (changed(FRAME, "counts.decoded", -1), "whole number"),
        (changed(MESSAGES[6], "reason", "\x1b[2J"), "expected"),
        (changed(MESSAGES[6], "detail", 7), "expected str"),
        (b" " * (wire.MAX_LINE_BYTES + 1), "bytes"),
    ],
)
def test_what_is_no_message_is_refused_in_one_harmless_line(line: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words) as refused:
        decode_message(line)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    reader = MessageReader()
    with pytest.raises(WireError, match="without end"):
        for _ in range(1000):
            assert list(reader.feed(b"x" * 4096)) == []


def test_good_messages_before_a_bad_line_are_taken() -> None:
    messages = MessageReader().feed(encode_message(FRAME) + b"nonsense\n" + encode_message(FRAME))
    assert next(messages) == FRAME
    with pytest.raises(WireError):
        next(messages)


def test_text_of_a_camera_is_harmless_once_it_has_arrived() -> None:
    message = Lost("redirected", "to rtsp://a/\x1b[2J\x9b\u202eevil\nERROR forged", None)
    arrived = decode_message(encode_message(message))
    assert isinstance(arrived, Lost)
    assert arrived.detail.isprintable()


def test_what_cannot_cross_is_not_sent() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON compliant"):
            encode_message(Ended(value, COUNTS))


# The first text that hypothesis makes takes seconds on a busy machine.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@calm
@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_refused(data: bytes) -> None:
    with suppress(WireError):
        for message in MessageReader().feed(data + b"\n"):
            assert isinstance(message, get_args(Message))


@calm
@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_with_any_field_changed_is_a_message_of_the_same_kind_or_refused(
    message: Message, data: st.DataObject
) -> None:
    document = json.loads(encode_message(message))
    place = document
    name = data.draw(st.sampled_from(sorted(document)))
    if isinstance(document[name], dict) and data.draw(st.booleans()):
        place = document[name]
        name = data.draw(st.sampled_from(sorted(place)))
    if data.draw(st.booleans()):
        place[name] = data.draw(JSON)
    else:
        del place[name]
    try:
        arrived = decode_message(json.dumps(document).encode())
    except WireError as refused:
        assert str(refused).isprintable()
        return
    assert decode_message(encode_message(arrived)) == arrived


@calm
@given(st.sampled_from(MESSAGES), st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_a_message_with_flipped_bytes_is_a_message_or_refused(message: Message, place: int, noise: bytes) -> None:
    line = encode_message(message)[:-1]
    place %= len(line)
    with suppress(WireError):
        arrived = decode_message(line[:place] + noise + line[place + len(noise) :])
        assert decode_message(encode_message(arrived)) == arrived
