"""Everything that eats foreign bytes, each with sound examples.

The promise: a value, or an error of our own that says what is wrong; in bounded time and memory. What else an error may
be is said by each target.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import shutil
import socket
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from redis.exceptions import RedisError

from hoiclip.bundle import check_bundle, open_bundle
from hoiclip.errors import HoistreamError
from hoiclip.evaluation.event_files import read_annotation, read_events
from hoiclip.evaluation.picture_files import PictureFiles
from hoiclip.hashes import file_sha256
from hoiclip.lessons import load_lessons
from hoiclip.model_file import read_model_file
from hoiclip.shipped import shipped_model
from hoiclip.types import Canvas
from hoiclip.vocabulary import load_builtin, load_deployment
from hoiclip.yaml_lines import load_config
from stream.decode import wire
from stream.decode.redirects import redirect_target
from stream.decode.sandbox import _ports
from stream.decode.sources import SourceSettings
from stream.events.lines import event_line
from stream.events.redis_connection import parse_redis_url
from stream.events.redis_pipe import RedisPipe, pack_command
from stream.events.schema import InteractionEvent, UnknownEventTypeError, parse_event
from stream.publish.cursor import Cursor, cursor_path
from stream.publish.frames import RECORD, SNAPSHOT, pack_frame
from stream.publish.open_interactions import OpenInteractions
from stream.publish.records import Record
from stream.publish.redis_sink import RedisSink
from stream.publish.replay import _kept
from stream.publish.segments import read_folder
from stream.publish.spool import Spool, SpoolLimits
from stream.redaction import redact
from stream.run.config import RunConfig
from stream.subscribe.group_reading import GroupReader
from stream.subscribe.looking import LookingReader
from stream.subscribe.settings import ReadSettings, SubscriptionError
from stream.subscribe.steps import Call, HandOver, resume

MAX_S = 4.0  # of processor time for one input; the slowest takes a tenth of that
MAX_BYTES = 400 << 20  # of memory that one input may add
EVENT = InteractionEvent(
    event_id="0123456789abcdef0123", run_id="run", source_id="cam", seq=1, media_time_s=1.2, type="started",
    interaction_id="i", pair_id=1, human_id=3, object_id=2, verb="ride", object="bicycle", interaction="ride bicycle",
    prompt="a photo of a person.", score=0.71, peak_score=0.8, human_box_xyxy_px=(1.0, 2.0, 30.0, 40.0),
    object_box_xyxy_px=(5.0, 6.0, 70.0, 80.0), frame_width_px=640, frame_height_px=360, started_media_s=1.0,
    duration_s=0.2, reason="score", why="score 0.71 above enter 0.5", model_fingerprint="m", vocabulary_fingerprint="v",
)  # fmt: skip
EVENT_JSON = Record.of(EVENT).json


@dataclass(frozen=True)
class Target:
    """One reader of foreign bytes."""

    name: str
    read: Callable[[bytes, Path], object]
    """Reads the bytes; the folder is empty and its own."""
    sound: Callable[[], tuple[bytes, ...]]
    """Examples that it takes."""
    refusals: tuple[type[Exception], ...] = field(default=())
    """Documented errors beside `HoistreamError`."""
    takes_examples: bool = True
    """A whole checkpoint would be too large."""


class BrokenPromiseError(AssertionError):
    """A reader took too long or too much memory."""


def feed(target: Target, data: bytes) -> bool:
    """Let the target read; return whether it took the bytes. Raises what it should not, or BrokenPromiseError."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    began_s, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        target.read(data, folder)
        taken = True
    except (HoistreamError, *target.refusals):
        taken = False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if (took_s := time.process_time() - began_s) > MAX_S:
        raise BrokenPromiseError(f"{target.name}: {took_s:.1f} s for {len(data)} bytes")
    if (grown := (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024) > MAX_BYTES:
        raise BrokenPromiseError(f"{target.name}: {grown >> 20} MiB for {len(data)} bytes")
    return taken


# The spool.


def _read_spool(folder: Path) -> None:
    journal = OpenInteractions()
    list(read_folder(folder))
    with Spool(folder, SpoolLimits(segment_bytes=4096), journal=journal) as spool:
        Cursor(spool, "sink")
        spool.append(Record.of(EVENT).pack())
        spool.sync()
        at, records = spool.oldest, list[bytes]()
        while (reading := spool.read(at, 100)).after != at:
            at, records = reading.after, records + reading.records
        assert records[-1] == Record.of(EVENT).pack(), "a new record is read, whatever is before it"
        journal.snapshot()
        journal.crashed({})
    list(_kept(folder, 1 << 62))


def _segment(data: bytes, folder: Path) -> None:
    (folder / f"{0:020d}.spool").write_bytes(data)
    _read_spool(folder)


def _payload(data: bytes, folder: Path) -> None:
    """In frames whose checksums are right, as a snapshot and as a record."""
    (folder / f"{0:020d}.spool").write_bytes(pack_frame(SNAPSHOT, 0, data) + pack_frame(RECORD, 0, data))
    _read_spool(folder)


def _segment_name(data: bytes, folder: Path) -> None:
    name = data.decode(errors="ignore").translate({0: None, ord("/"): None})[:80] or "x"
    (folder / name).write_bytes(pack_frame(SNAPSHOT, 0, b"[]"))
    _read_spool(folder)


def _cursor(data: bytes, folder: Path) -> None:
    cursor_path(folder, "sink").write_bytes(data)
    _read_spool(folder)


def _sound_segment() -> tuple[bytes, ...]:
    begin = pack_frame(SNAPSHOT, 0, b'[{"last_seq":3,"event":%b}]' % EVENT_JSON)
    return (begin, begin + b"".join(pack_frame(RECORD, number, Record.of(EVENT).pack()) for number in range(3)))


# Redis.


class _Server:
    """Answers each connection with the same bytes, whatever it asks."""

    def __init__(self) -> None:
        self.reply = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(1 << 16)
                connection.sendall(self.reply)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(0.2)
                while connection.recv(1 << 16):
                    pass


@cache
def _server() -> _Server:
    return _Server()


def _redis_sink(data: bytes, folder: Path) -> None:
    server = _server()
    server.reply = data
    record = Record(b"run\x1ecam", 1, EVENT_JSON)
    sink = RedisSink(f"redis://127.0.0.1:{server.port}/0")
    for step in (
        sink.probe,
        lambda: sink.meet([record]),
        lambda: sink.append([record]),
        sink.look,
        sink.trim,
        sink.make_room,
        sink.rewind,
        sink.settle,
    ):
        with contextlib.suppress(HoistreamError):
            step()
    sink.close()


def _redis_readers(data: bytes, folder: Path) -> None:
    server = _server()
    server.reply = data
    url = f"redis://127.0.0.1:{server.port}/0"
    settings = ReadSettings(stream="s", group=None, follow=False)
    for reader in (LookingReader(settings), GroupReader(settings, "g")):
        pipe, steps = RedisPipe(url), reader.steps()
        try:
            step = next(steps)
            for _ in range(12):
                reply = None
                if isinstance(step, Call):
                    try:
                        reply = pipe.call(*step.arguments)
                    except RedisError as error:
                        reply = error
                elif isinstance(step, HandOver):
                    event_line(step.event)
                step = resume(steps, reply) if isinstance(step, Call) else next(steps)
        except StopIteration:
            pass
        finally:
            pipe.drop()


def _sound_replies() -> tuple[bytes, ...]:
    entry = b"*2\r\n$3\r\n1-1\r\n*2\r\n$5\r\nevent\r\n$%d\r\n%b\r\n" % (len(EVENT_JSON), EVENT_JSON)
    info = b"redis_version:7.2.4\r\nused_memory:1000\r\nmaxmemory:2000\r\nmaxmemory_policy:allkeys-lru\r\n"
    return (
        b"$%d\r\n%b\r\n" % (len(info), info) * 4,
        b":1\r\n" * 8,
        b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n%b" % entry * 3,
        b"*2\r\n:0\r\n*1\r\n%b" % entry * 3,
        b"*3\r\n$3\r\n0-0\r\n*1\r\n%b*1\r\n$3\r\n1-2\r\n" % entry * 3,
        b"*5\r\n:0\r\n:1\r\n:1\r\n:0\r\n*0\r\n" * 4,
        b"*2\r\n:0\r\n$1\r\ng\r\n" * 4,
        b"-NOGROUP none\r\n+OK\r\n-NOSCRIPT x\r\n+OK\r\n-OOM x\r\n-WRONGTYPE x\r\n",
        pack_command("a", "b"),
    )


# Cameras and addresses.


def _camera(data: bytes, folder: Path) -> None:
    server = _server()
    server.reply = data
    for scheme in ("rtsp", "http"):
        with contextlib.suppress(OSError):
            redirect_target(f"{scheme}://127.0.0.1:{server.port}/x", 0.5)


def _source_url(data: bytes, folder: Path) -> None:
    url = data.decode(errors="surrogateescape")
    with contextlib.suppress(ValueError):
        parse_redis_url(url)
    redact(url)
    for kind in ("live", "file"):
        settings = SourceSettings("cam", url, kind, (Canvas(2, 2),))
        _ports(settings)
        assert settings.display_url == redact(url)


def _wire(data: bytes, folder: Path) -> None:
    list(wire.MessageReader().feed(data))


def _job(data: bytes, folder: Path) -> None:
    wire.decode_job(data)


def _sound_job() -> tuple[bytes, ...]:
    source = SourceSettings("cam", "rtsp://u:p@h/x", "live", (Canvas(2, 2),))
    return (wire.encode_job(wire.Job(source, 3, 1.5, None, 1, 0.0, (1, 2))),)


def _sound_lines() -> tuple[bytes, ...]:
    counts = wire.Counts(1, 2, 3, 4, 5)
    frame = wire.Frame(1, 2, 0.5, None, 640, 360, Canvas(2, 2), False, 1, counts)
    messages = (wire.Opened(1, 2, 3, 25.0, "h264", None), frame, wire.Lost("stalled", "no data", counts), wire.Alive())
    return tuple(map(wire.encode_message, messages))


# Files of people.


def _config(data: bytes, folder: Path) -> None:
    (folder / "run.yaml").write_bytes(data)
    load_config(folder / "run.yaml", RunConfig)


def _vocabulary(data: bytes, folder: Path) -> None:
    (folder / "words.yaml").write_bytes(data)
    load_deployment(folder / "words.yaml", load_builtin("world"))


def _event(data: bytes, folder: Path) -> None:
    line = event_line(parse_event(data))
    assert line.isprintable(), line


def _event_file(data: bytes, folder: Path) -> None:
    (folder / "a.events.jsonl").write_bytes(data)
    read_events(folder / "a.events.jsonl")


def _annotation(data: bytes, folder: Path) -> None:
    (folder / "a.json").write_bytes(data)
    read_annotation(folder / "a.json")


def _pictures(data: bytes, folder: Path) -> None:
    (folder / "a.json").write_bytes(data)
    files = PictureFiles.read(folder / "a.json", folder / "a.json")
    with contextlib.suppress(HoistreamError):
        files.vcoco_roles(29)
    files.hico_pairs(load_builtin("hico"))


def _sound_pictures() -> tuple[bytes, ...]:
    box = [{"bbox": [0, 0, 9, 9], "category_id": 1}, {"bbox": [1, 1, 5, 5], "category_id": 4}]
    pair = [{"subject_id": 0, "object_id": 1, "category_id": 2, "hoi_category_id": 3, "score": 0.5}]
    picture = {"file_name": "a", "annotations": box, "predictions": box, "hoi_annotation": pair, "hoi_prediction": pair}
    return (json.dumps([picture]).encode(),)


def _sound_annotation() -> tuple[bytes, ...]:
    what = {"name": "ride bicycle", "human_id": 1, "start_s": 0.5, "end_s": 2.0, "object_id": 2, "object": "bicycle"}
    frame = {"humans": [{"id": 1, "bbox": [0, 0, 1, 1]}], "objects": [{"id": 2, "bbox": [0, 0, 1, 1], "object": "cup"}]}
    frames = [frame | {"t_s": 0.0}, frame | {"t_s": 0.2}]
    return (json.dumps({"interactions": [what], "frames": frames, "num_frames": 50, "fps": 25}).encode(),)


# Models.


def _lesson(data: bytes, folder: Path) -> None:
    (folder / "v.taught").mkdir()
    (folder / "v.taught" / "a.v1.npz").write_bytes(data)
    load_lessons(folder / "v.yaml")


def _lesson_facts(data: bytes, folder: Path) -> None:
    _lesson(_lesson_file(data, compress=len(data) % 2 == 0), folder)


def _lesson_file(facts: bytes, *, compress: bool = False) -> bytes:
    file, row = io.BytesIO(), np.ones(4, np.float32)
    (np.savez_compressed if compress else np.savez)(file, facts=facts.decode(errors="replace"), **dict.fromkeys(
        ("text", "verb_text", "embedding"), row))  # fmt: skip
    return file.getvalue()


FACTS: dict[str, Any] = {
    "format": "hoistream-lesson-1", "name": "a", "version": 1, "object": 0, "bias": 0.5, "model_fingerprint": "m",
    "examples": ["a.mp4 1-2 s"],
}  # fmt: skip


@cache
def _sound_lessons() -> tuple[bytes, ...]:
    facts = json.dumps(FACTS).encode()
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("facts.npy", bytes(300 << 20))
    return (_lesson_file(facts), _lesson_file(facts, compress=True), bomb.getvalue())


def _model_file(data: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(data)
    read_model_file(folder / "model.safetensors")


def _model_header(data: bytes, folder: Path) -> None:
    """The header as JSON, with its length put right."""
    _model_file(len(data).to_bytes(8, "little") + data + bytes(4 * _num_heads()), folder)


def _num_heads() -> int:
    return len(json.loads(_small_model())) - 1  # each of one number; the rest is no tensor


@cache
def _small_model() -> bytes:
    header = json.loads(_header_of((shipped_model() / "model.safetensors").read_bytes()))
    small, at = {"__metadata__": header["__metadata__"]}, 0
    for name, tensor in header.items():
        if name.startswith("heads."):
            shape = [1] * len(tensor["shape"])
            small[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4]}
            at += 4
    return json.dumps(small).encode()


def _header_of(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _sound_models() -> tuple[bytes, ...]:
    header = _small_model()
    return (len(header).to_bytes(8, "little") + header + bytes(4 * _num_heads()),)


def _manifest(data: bytes, folder: Path) -> None:
    for name in ("model.safetensors", "card.json", "text.onnx", "tokenizer.json", "256x448.onnx"):
        (folder / name).write_bytes(b"x")
    (folder / "bundle.json").write_bytes(data)
    check_bundle(folder)


def _sound_manifest() -> tuple[bytes, ...]:
    names = ("model.safetensors", "card.json", "text.onnx", "tokenizer.json", "256x448.onnx")
    x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    files = {name: {"bytes": 1, "sha256": x} for name in names}
    return (json.dumps({"format": "hoistream-bundle-1", "files": files, "canvases": ["256x448"]}).encode(),)


def _bundle_card(data: bytes, folder: Path) -> None:
    """A bundle whose manifest is right and whose card is not."""
    parts = {"card.json": data, "model.safetensors": _sound_models()[0], "text.onnx": b"", "tokenizer.json": b"",
             "256x448.onnx": b""}  # fmt: skip
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    files = {name: {"bytes": len(content), "sha256": file_sha256(folder / name)} for name, content in parts.items()}
    text = json.dumps({"format": "hoistream-bundle-1", "files": files, "canvases": ["256x448"]})
    (folder / "bundle.json").write_text(text)
    open_bundle(folder, lambda path, tokens: np.zeros((len(tokens), 4), np.float32))


def _checkpoint(data: bytes, folder: Path) -> None:
    from hoiclip.checkpoint import convert, read_state_dict

    (folder / "a.pth").write_bytes(data)
    convert(read_state_dict(folder / "a.pth"), "a.pth")


@cache
def _sound_checkpoints() -> tuple[bytes, ...]:
    import torch

    state = {"visual_projection.weight": torch.ones(600, 2), "verb_projection.weight": torch.ones(117, 2),
             "obj_visual_projection.weight": torch.ones(81, 2), "query_embed_h.weight": torch.ones(2, 4)}  # fmt: skip
    files = []
    for as_zip in (True, False):
        file = io.BytesIO()
        torch.save({"model": state}, file, _use_new_zipfile_serialization=as_zip)
        files.append(file.getvalue())
    return tuple(files)


CONFIG = (
    b"model: demo\nvocabulary: [ride bicycle, {text: a person carrying a ladder}]\nsinks: ['redis://h/0']\n"
    b"tracker: {gap_s: 2.0, thresholds: {ride bicycle: [0.5, 0.3]}}\nengine: {kind: auto, max_batch: 4}\n"
    b"sources:\n  - {id: a, url: 'rtsp://${U:-u}:p@h/x', target_fps: null}\n  - &x {id: b, url: b.mp4}\n"
)
CONFIG_AS_JSON = json.dumps(
    {"model": "demo", "sources": [{"id": "a", "url": "rtsp://h/x"}], "tracker": {"thresholds": {"a": [0.5, 0.3]}},
     "metrics": {"port": 1}, "canvases": ["256x448"], "spool_max_mb": 5}
).encode()  # fmt: skip
WORDS = (
    b"interactions:\n  - hold cup\n  - {verb: ride}\n  - {text: a person opening a box, object: any}\n"
    b"templates: ['{}', 'a photo of {}']\n"
)
TAGGED = (
    b"interactions: [!!int x, !!float y, !!timestamp z, !!bool q, !!null 0, 2001-99-99, 190:20:30, 0x, 1e999, =, <<]\n"
)
URLS = (
    b"a.mp4", b"rtsp://user:pa/ss@10.0.0.1:554/x?token=abc", b"http://[::1]:80/x", b"10.0.0.1:554/x", b"file:///a.mp4",
    b"redis://:secret@h:6379/0?stream=s&keep_h=5", b"rtsp://u:p@h:port/x", b"a" * 60_000, b"x://u:p" * 2000,
)  # fmt: skip
ANSWERS = (
    b"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://u:p@10.0.0.9/x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>",
    b"RTSP/1.0 \xb2\xb2\xb2 x\r\n\r\n", b"RTSP/1.0 301\r\nLocation:\r\n\r\n", b"\0" * 20000,
)  # fmt: skip

TARGETS = (
    Target("a spool segment", _segment, _sound_segment),
    Target("a payload in the spool", _payload, lambda: (Record.of(EVENT).pack(), _sound_segment()[0][25:], b"[]")),
    Target(
        "a name in the spool's folder",
        _segment_name,
        lambda: (b"%020d.spool" % 7, b"9" * 20 + b".spool", b"sink.cursor"),
    ),
    Target("a cursor", _cursor, lambda: (b"1\n", b"-5", b"9" * 30)),
    Target("Redis replies to the sink", _redis_sink, _sound_replies),
    Target("Redis replies to readers", _redis_readers, _sound_replies, (SubscriptionError,)),
    Target("what a camera's port answers", _camera, lambda: ANSWERS),
    Target("a source's address", _source_url, lambda: URLS),
    Target("what a decoder says", _wire, _sound_lines, (wire.WireError,)),
    Target("what a decoder is told", _job, _sound_job, (wire.WireError,)),
    Target("a configuration", _config, lambda: (CONFIG, CONFIG_AS_JSON, TAGGED)),
    Target("a vocabulary", _vocabulary, lambda: (WORDS, TAGGED)),
    Target("an event", _event, lambda: (EVENT_JSON,), (ValidationError, UnknownEventTypeError)),
    Target("a file of events", _event_file, lambda: (EVENT_JSON + b"\n" + EVENT_JSON,)),
    Target("an annotated video", _annotation, _sound_annotation),
    Target("annotated pictures", _pictures, _sound_pictures),
    Target("a lesson", _lesson, _sound_lessons),
    Target("a lesson's facts", _lesson_facts, lambda: (json.dumps(FACTS).encode(),)),
    Target("a model file", _model_file, _sound_models),
    Target("a model file's header", _model_header, lambda: (_small_model(),)),
    Target("a bundle's manifest", _manifest, _sound_manifest),
    Target("a bundle's card", _bundle_card, lambda: (b"{}", b'{"license": "x"}')),
    Target("a checkpoint", _checkpoint, _sound_checkpoints, takes_examples=False),
)
"""All readers of foreign bytes."""
