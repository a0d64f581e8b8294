from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stream.events.schema import Event, event_json_schema
from stream.recordings.results import Receipt, ResultPaths, finished, spans_of, write_results

RECEIPT = Receipt(
    job="job", identity={"content": "c"}, video="clip.mp4", frames=9, dropped=0, length_s=5.0, events=1, failed=None,
    coverage={"seen": 1.0}, engines=["null"], seconds=1.5,
)  # fmt: skip


@pytest.fixture
def events(make_events: Callable[..., list[Event]]) -> list[Event]:
    return make_events(1, type="ended", started_media_s=1.0, duration_s=2.5)


def test_results_appear_together_and_the_receipt_says_for_which_job(events: list[Event], tmp_path: Path) -> None:
    paths = ResultPaths.of(tmp_path, "clip")
    assert finished(paths, "job", annotated=False) is None
    write_results(paths, events, title="clip.mp4", receipt=RECEIPT)
    assert finished(paths, "job", annotated=False) == RECEIPT
    assert finished(paths, "another job", annotated=False) is None
    assert finished(paths, "job", annotated=True) is None
    row = pq.read_table(paths.parquet).to_pylist()[0]
    assert (row["human_box_x0_px"], row["human_box_y1_px"], row["score"]) == (1.0, 40.0, 0.71)
    assert Image.open(paths.timeline).size[0] > 500
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("missing", ["events", "parquet", "timeline"])
def test_a_video_whose_results_are_not_all_there_is_not_finished(
    events: list[Event], tmp_path: Path, missing: str
) -> None:
    paths = ResultPaths.of(tmp_path, "clip")
    write_results(paths, events, title="clip.mp4", receipt=RECEIPT)
    getattr(paths, missing).unlink()
    assert finished(paths, "job", annotated=False) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"job": "job"}'])
def test_a_receipt_that_cannot_be_read_finishes_nothing(events: list[Event], tmp_path: Path, content: str) -> None:
    paths = ResultPaths.of(tmp_path, "clip")
    write_results(paths, events, title="clip.mp4", receipt=RECEIPT)
    paths.receipt.write_text(content)
    assert finished(paths, "job", annotated=False) is None


def test_the_receipt_of_a_failed_video_finishes_nothing(events: list[Event], tmp_path: Path) -> None:
    paths = ResultPaths.of(tmp_path, "clip")
    write_results(paths, events, title="clip.mp4", receipt=replace(RECEIPT, job=None, failed="it broke"))
    assert finished(paths, "job", annotated=False) is None


def test_every_file_is_on_the_disk_before_the_receipt_stands_beside_it(
    events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a receipt beside an empty file would have the video skipped for ever."""
    steps: list[tuple[str, str]] = []
    fsync, rename = os.fsync, Path.replace

    def noted_fsync(fd: int) -> None:
        steps.append(("synced", Path(f"/proc/self/fd/{fd}").readlink().name.replace(".part", "")))
        fsync(fd)

    def noted_rename(self: Path, target: Path) -> Path:
        steps.append(("renamed", target.name))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    write_results(ResultPaths.of(tmp_path, "clip"), events, title="clip.mp4", receipt=RECEIPT)
    for name in ("clip.events.jsonl", "clip.events.parquet", "clip.timeline.png", "clip.receipt.json"):
        assert steps.index(("synced", name)) < steps.index(("renamed", name))
    assert [name for step, name in steps if step == "renamed"][-1] == "clip.receipt.json"


def test_each_line_of_the_events_is_valid_against_the_published_schema(
    events: list[Event], make_events: Callable[..., list[Event]], tmp_path: Path
) -> None:
    paths = ResultPaths.of(tmp_path, "clip")
    write_results(paths, [*make_events(2), *events], title="clip.mp4", receipt=RECEIPT)
    lines = [json.loads(line) for line in paths.events.read_text().splitlines()]
    validator = jsonschema.Draft202012Validator(event_json_schema())
    assert len(lines) == 3
    for line in lines:
        validator.validate(line)


def test_a_video_without_events_has_empty_results_that_can_be_read(tmp_path: Path) -> None:
    paths = ResultPaths.of(tmp_path, "quiet")
    write_results(paths, [], title="quiet.mp4", receipt=RECEIPT)
    assert paths.events.read_text() == ""
    assert pq.read_table(paths.parquet).num_rows == 0


def test_only_ended_events_make_spans(events: list[Event], make_events: Callable[..., list[Event]]) -> None:
    spans = spans_of([*make_events(1), *events])
    assert [(s.name, s.start_s, s.end_s) for s in spans] == [("ride bicycle", 1.0, 3.5)]
