from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.errors import InputError
from hoiclip.types import Canvas
from stream.recordings.frame_scores import score_recording


@pytest.fixture(scope="module")
def loaded(tiny_model_path: Path):
    return load_model(tiny_model_path)


class Watching(NullEngine):
    """Keep what it was shown."""

    def infer(self, frames):
        self.shown = [*getattr(self, "shown", []), *frames.copy()]
        return super().infer(frames)


def test_every_chosen_frame_is_scored_in_order_whatever_the_batch(make_clip, loaded):
    clip = make_clip(seconds=2.0, fps=25)
    times = []
    found = {}
    for size in (1, 8):
        engine = NullEngine(loaded.config, Canvas(64, 96), size)
        found[size] = score_recording(clip, engine, loaded.classifier(), fps=5.0, progress=times.append)
    assert [f.t_s for f in found[1]] == [f.t_s for f in found[8]] == pytest.approx(np.arange(10) * 0.2)
    assert found[1][0].size_hw == (64, 96) and times[-1] == pytest.approx(1.8)
    pairs = found[8][3].pairs(loaded.classifier(), 0.0)
    assert pairs.scores.shape[1] == len(loaded.classifier()) and len(pairs.scores) > 0


def test_frames_can_be_changed_and_lost_before_the_model_sees_them(make_clip, loaded):
    engine = Watching(loaded.config, Canvas(64, 96), 8)

    def alter(pixels, t_s):
        return None if 0.35 < t_s < 0.85 else np.full_like(pixels, 7)

    found = score_recording(make_clip(seconds=2.0), engine, loaded.classifier(), fps=5.0, alter=alter)
    assert len(found) == 7 and not any(0.35 < f.t_s < 0.85 for f in found)
    assert all((frame == 7).all() for frame in engine.shown)


def test_a_file_that_is_no_video_is_named(tmp_path, loaded):
    path = tmp_path / "notes.mp4"
    path.write_text("not a video")
    with pytest.raises(InputError, match=r"notes\.mp4"):
        score_recording(path, NullEngine(loaded.config, Canvas(64, 96)), loaded.classifier())
