from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from engines.loading import load_model
from hoiclip.types import Canvas
from stream.ingest.batcher import FrameMeta
from stream.run.source_run import Head, SavedRun, SourceRun, source_tracker
from stream.track.settings import TrackerSettings
from stream.zones.layout import Layout, Line, Zone
from tests.support.seeing_engine import Seeing

CANVAS = Canvas(64, 112)
LAYOUT = Layout(
    (Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), "feet", 0.1),),
    (Line("middle", (0.5, 0.0), (0.5, 1.0), "feet"), Line("across", (0.0, 0.7), (1.0, 0.7), "feet")),
)


def through_a_file(saved: SavedRun) -> SavedRun:
    file = io.BytesIO()
    np.savez(file, **saved.arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as found:
        return SavedRun(json.loads(json.dumps(saved.record)), {name: found[name] for name in found.files})


@pytest.mark.parametrize("layout", [Layout(), LAYOUT], ids=["plain", "zones"])
def test_a_run_goes_on_from_any_frame_with_the_events_of_one_that_never_stopped(
    tiny_model_path: Path, layout: Layout
) -> None:
    loaded = load_model(tiny_model_path)
    head = Head(loaded.classifier(), loaded.fingerprint, min_pair_score=0.05)
    settings = TrackerSettings(enter_score=0.2, min_duration_s=0.1, gap_s=0.3, stationary_s=1.0, update_interval_s=0.08)

    def run() -> SourceRun:
        tracker = source_tracker("clip", head.classifier, settings)
        return SourceRun("clip", "run", head, tracker, layout=layout)

    whole, often, engine = run(), run(), Seeing(CANVAS)
    events = []
    for number in range(120):
        view = np.random.default_rng(number // 40).integers(0, 24, (8, 14, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        picture = np.ascontiguousarray(view + np.uint8(24 * (number // 3 % 8)))
        meta = FrameMeta("clip", number, number / 25, None, 224, 128, number % 17 == 5, 1)
        outputs = engine.infer(picture[None])
        if number % 6 < 2:
            step, again = whole.still(meta), often.still(meta)
        else:
            step, again = whole.frame(outputs, meta, picture), often.frame(outputs, meta, picture)
        assert step == again
        events += step
        saved = through_a_file(often.saved())
        often = run()
        often.restore(saved)
    assert often.finish("end_of_file") == whole.finish("end_of_file") != []
    kinds = {(event.type, getattr(event, "reason", "")) for event in events}
    assert {"started", "updated", "ended"} <= {kind for kind, _ in kinds}
    assert ("ended", "cut") in kinds
    if layout:
        assert "line_crossed" in {kind for kind, _ in kinds}
        assert ("updated", "zone") in kinds
