from __future__ import annotations

import json
import time
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.errors import HoistreamError
from hoiclip.types import Canvas, Outputs
from hoistream.cli import app
from stream.capacity import measure as measuring
from stream.capacity.costs import decode_cost, engine_costs, publish_per_s
from stream.capacity.footage import FPS, CameraKind, write_footage
from stream.capacity.measure import in_words, measure
from stream.capacity.trial import most_carried, watch_live
from stream.run.source_run import Head

CANVAS = Canvas(64, 112)
SMALL = CameraKind(320, 192, "h264")


@pytest.mark.parametrize("kind", [CameraKind(640, 360, "h264"), CameraKind(640, 360, "hevc")])
def test_footage_is_what_a_camera_sends(tmp_path: Path, kind: CameraKind) -> None:
    path = tmp_path / "camera.mp4"
    assert write_footage(path, kind, 4.0) == 4 * FPS
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (640, 360, kind.codec)
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert len(packets) == 4 * FPS
    assert [packet.pts for packet in packets] == sorted(packet.pts for packet in packets), "no B frames"
    bits_a_pixel = 8 * sum(packet.size for packet in packets) / (4 * FPS * 640 * 360)
    assert 0.03 < bits_a_pixel < 0.15
    assert sum(packet.is_keyframe for packet in packets) == 2


def test_what_cannot_be_encoded_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(write_footage.__globals__["_ENCODERS"], "hevc", "no_such_encoder")
    with pytest.raises(HoistreamError, match=r"640x360 HEVC: footage cannot be encoded here: .*no_such_encoder"):
        write_footage(tmp_path / "camera.mp4", CameraKind(640, 360, "hevc"), 1.0)


def test_larger_pictures_cost_more_to_decode(tmp_path: Path) -> None:
    small, large = (decode_cost(tmp_path, CameraKind(w, h, "h264"), CANVAS, 1.0) for w, h in ((320, 192), (1280, 720)))
    assert 0 < small.decode_ms < large.decode_ms
    assert 0 < small.scale_ms < large.scale_ms
    assert large.frames_per_s == pytest.approx(1000 / (large.decode_ms + large.scale_ms))


class Slow(NullEngine):
    """Takes a known time a frame."""

    frame_s = 0.02

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        time.sleep(self.frame_s * len(frames))
        return super()._run(frames)


def test_an_engine_is_timed_by_batch(tiny_model_path: Path) -> None:
    config = load_model(tiny_model_path).config
    one, four = engine_costs(Slow(config, CANVAS, 4), [1, 4])
    assert (one.batch, four.batch) == (1, 4)
    assert 10 < one.frames_per_s <= 50 and 10 < four.frames_per_s <= 50
    assert one.p95_ms >= 20 and four.p95_ms >= 80
    assert one.processor_ms < 20, "it sleeps"


def test_events_are_published_for_the_measurement() -> None:
    assert publish_per_s(200) > 0


def test_cameras_are_carried_or_not(tiny_model_path: Path, tmp_path: Path) -> None:
    loaded = load_model(tiny_model_path)
    head, clip = Head(loaded.classifier(), loaded.fingerprint), tmp_path / "camera.mp4"
    write_footage(clip, SMALL, 2.0)

    class Drowning(Slow):
        frame_s = 0.5

    fast, slow = (
        watch_live(kind(loaded.config, CANVAS, 4), head, [str(clip)] * 2, fps=5.0, seconds=3.0, max_still_s=0.0)
        for kind in (NullEngine, Drowning)
    )
    assert fast.cameras == 2 and fast.dropped == {} and fast.still_share == 0.0
    assert fast.frames_per_s == pytest.approx(10, rel=0.2)
    assert fast.processor_share["decoders"] > 0
    assert not slow.carried and slow.frames_per_s < 6


@pytest.mark.parametrize(("limit", "first"), [(100, 60), (100, 150), (0, 8), (5, 5), (1, 16)])
def test_the_cameras_carried_are_searched_for(limit: int, first: int) -> None:
    tried: list[int] = []

    def carries(cameras: int) -> bool:
        tried.append(cameras)
        return cameras <= limit

    best = most_carried(first, carries)
    assert best <= limit and len(tried) <= 5
    assert best >= 0.75 * limit


def test_a_machine_is_measured_and_told_in_words_and_numbers(tiny_model_path: Path) -> None:
    loaded = load_model(tiny_model_path)
    steps: list[tuple[str, int, int]] = []
    engine = NullEngine(loaded.config, CANVAS, 4)
    capacity = measure(loaded, engine, lambda *step: steps.append(step), kinds=[SMALL], attempts=0)
    document = json.loads(json.dumps(capacity.document()))
    assert document["engine"] == "null" and document["schema"] == 1
    assert [each["batch"] for each in document["engine_by_batch"]] == [1, 4]
    [camera] = document["cameras"]
    assert camera["quiet"] >= camera["busy"] > 0
    assert in_words(capacity)[0].startswith("320x192 H.264 at 25 frames/s, looked at 5 times a second: ")
    done = [step[1] for step in steps]
    assert done == sorted(done) and steps[-1] == ("done", 4, 4)


def test_the_trial_corrects_what_the_steps_promise(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_model(tiny_model_path)
    monkeypatch.setattr(measuring, "TRIED", SMALL)

    class Blocked(Slow):
        frame_s = 0.25  # asleep: it costs no processor time, and four frames a second are all it takes

    engine = Blocked(loaded.config, CANVAS, 1)
    capacity = measure(loaded, engine, lambda *_: None, kinds=[SMALL], attempts=1, trial_s=2.0, warm_s=3.0)
    [trial] = capacity.trials
    assert not trial.carried and capacity.carried[0].busy == 0
    assert "not even" in in_words(capacity)[-1]


def test_the_command_writes_the_document_and_says_what_is_wrong_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "KINDS", (SMALL,))
    out = tmp_path / "machine.json"
    done = CliRunner().invoke(app, ["bench", "--engine", "null", "--quick", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "decode 320x192 H.264" in done.output and f"written: {out}" in done.output
    assert json.loads(out.read_text())["canvas"] == "256x448"
    wrong = CliRunner().invoke(app, ["bench", "--engine", "null", "--out", str(tmp_path / "nowhere" / "m.json")])
    assert wrong.exit_code == 2 and "make it first" in wrong.output
