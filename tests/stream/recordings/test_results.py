from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from stream.recordings.results import ResultPaths, is_done, spans_of, write_results

EVENT = {
    "type": "ended", "interaction": "ride bicycle", "started_media_s": 1.0, "duration_s": 2.5, "human_id": 3,
    "human_box_xyxy_px": [1.0, 2.0, 3.0, 4.0], "score": 0.5,
}  # fmt: skip


def test_results_appear_together_and_the_receipt_says_for_which_job(tmp_path: Path) -> None:
    paths = ResultPaths.of(tmp_path, "clip")
    assert not is_done(paths, "job")
    write_results(paths, [EVENT], title="clip.mp4", length_s=5.0, receipt={"job": "job"})
    assert is_done(paths, "job")
    assert not is_done(paths, "another job")
    assert json.loads(paths.events.read_text()) == EVENT
    row = pq.read_table(paths.parquet).to_pylist()[0]
    assert (row["human_box_x0_px"], row["human_box_y1_px"], row["score"]) == (1.0, 4.0, 0.5)
    assert Image.open(paths.timeline).size[0] > 500
    assert not list(tmp_path.glob("*.part*"))


def test_a_video_without_events_has_empty_results_that_can_be_read(tmp_path: Path) -> None:
    paths = ResultPaths.of(tmp_path, "quiet")
    write_results(paths, [], title="quiet.mp4", length_s=5.0, receipt={"job": "job"})
    assert paths.events.read_text() == ""
    assert pq.read_table(paths.parquet).num_rows == 0


def test_only_ended_events_make_spans() -> None:
    spans = spans_of([{**EVENT, "type": "started"}, EVENT, {"type": "coverage_gap"}])
    assert [(s.name, s.start_s, s.end_s) for s in spans] == [("ride bicycle", 1.0, 3.5)]
