"""Event measures on videos whose truth is written down."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hoiclip.errors import InputError
from hoiclip.evaluation.event_files import read_events, read_folders
from hoiclip.evaluation.events import PredictedEvent, Sighting, TrueInteraction, TrueVideo, evaluate_events
from stream.commands.evaluate import app

LEFT, RIGHT = (0.0, 0.0, 60.0, 160.0), (300.0, 0.0, 360.0, 160.0)
TIMES = np.arange(100) / 5


def video(*interactions, boxes=True) -> TrueVideo:
    frames = [{1: LEFT, 2: RIGHT} for _ in TIMES] if boxes else []
    return TrueVideo(tuple(TrueInteraction(*i) for i in interactions), TIMES if boxes else np.zeros(0), frames)


def event(name, start, end, human=7, box=LEFT, late=0.0) -> PredictedEvent:
    sightings = tuple(Sighting(t, box) for t in np.arange(start + late, end, 1.0))
    return PredictedEvent(name, human, start, end, start + late, end + late, sightings)


def measure(true, *events):
    return evaluate_events({"v": true}, {"v": events})


def test_perfect_events_score_one_and_delays_are_those_of_the_announcement():
    true = video(("ride", 1, 2.0, 6.0), ("hold", 2, 1.0, 9.0))
    result = measure(true, event("ride", 2.0, 6.0, late=0.4), event("hold", 1.0, 9.0, 8, RIGHT, late=0.2))
    summary = result.summary()
    assert (summary["precision"], summary["recall"], summary["f1"]) == (1, 1, 1)
    assert summary["onset_delay_s"]["median"] == pytest.approx(0.3)
    assert summary["end_delay_s"]["p90"] == pytest.approx(0.38)
    assert summary["onset_dating_error_s"]["median"] == 0
    assert (summary["fragmentation"], summary["identity_switches"]) == (1.0, 0)


def test_name_time_and_person_must_all_agree():
    true = video(("ride", 1, 2.0, 6.0))
    for wrong in (event("hold", 2, 6), event("ride", 2, 3.9), event("ride", 5, 9), event("ride", 2, 6, box=RIGHT)):
        result = measure(true, wrong)
        assert (result.precision, result.recall, result.f1) == (0, 0, 0)
    assert measure(true, event("ride", 2, 4)).f1 == 1  # temporal IoU exactly 0.5


def test_without_boxes_only_name_and_time_count():
    assert measure(video(("ride", 1, 2.0, 6.0), boxes=False), event("ride", 2, 6, box=RIGHT)).f1 == 1


def test_one_event_cannot_serve_two_truths_nor_two_events_one_truth():
    true = video(("ride", 1, 2.0, 6.0))
    doubled = measure(true, event("ride", 2, 6), event("ride", 2.1, 6))
    assert (doubled.precision, doubled.recall) == (0.5, 1)
    assert doubled.matches[0][2].start_s == 2  # the better one
    two = measure(video(("ride", 1, 2.0, 6.0), ("ride", 1, 2.0, 6.1)), event("ride", 2, 6))
    assert (two.precision, two.recall) == (1, 0.5)


def test_the_most_matches_are_made_even_if_one_of_them_overlaps_less():
    true = video(("ride", 1, 0.0, 10.0), ("ride", 1, 3.0, 13.0))
    result = measure(true, event("ride", 1.5, 11.5), event("ride", 0.0, 9.0))
    assert len(result.matches) == 2


def test_fragments_are_counted():
    result = measure(video(("ride", 1, 0.0, 10.0)), event("ride", 0, 6), event("ride", 7, 10))
    summary = result.summary()
    assert (summary["fragmentation"], summary["num_fragmented"], summary["precision"]) == (2.0, 1, 0.5)


def test_a_human_whose_id_changes_is_an_identity_switch():
    true = video(("ride", 1, 0.0, 4.0), ("hold", 1, 6.0, 10.0), ("hold", 2, 6.0, 10.0))
    same = measure(true, event("ride", 0, 4, 7), event("hold", 6, 10, 7), event("hold", 6, 10, 9, RIGHT))
    other = measure(true, event("ride", 0, 4, 7), event("hold", 6, 10, 8), event("hold", 6, 10, 9, RIGHT))
    assert (same.identity_switches, other.identity_switches) == (0, 1)


def test_identities_are_compared_in_order_of_time_whatever_the_order_of_the_events():
    true = video(("ride", 1, 0.0, 8.0), ("hold", 1, 0.0, 8.0))
    seen_at = [(7, (0.0, 6.0)), (8, (2.0, 8.0))]  # two events whose sightings interleave: 7, 8, 7, 8
    events = [
        PredictedEvent(name, human, 0, 8, 0, 8, tuple(Sighting(t, LEFT) for t in times))
        for name, (human, times) in zip(("ride", "hold"), seen_at, strict=True)
    ]
    assert measure(true, *events).identity_switches == 3
    assert measure(true, *events[::-1]).identity_switches == 3


def test_a_time_between_two_frames_belongs_to_the_nearer_one():
    true = TrueVideo((), np.array([0.0, 1.0, 2.0]), [{1: LEFT}, {1: RIGHT}, {}])
    assert true.human_box(1, 0.4) == LEFT and true.human_box(1, 0.6) == RIGHT
    assert true.nearest_human(RIGHT, 0.6) == 1 and true.nearest_human(LEFT, 0.6) is None
    assert true.human_box(1, 1.6) is None and true.human_box(1, 9.0) is None and true.human_box(1, -3.0) == LEFT


def test_nothing_said_about_nothing_is_right_and_silence_about_something_is_not():
    assert measure(video()).f1 == 1
    silent = measure(video(("ride", 1, 0.0, 4.0)))
    assert (silent.precision, silent.recall, silent.f1) == (1, 0, 0)
    assert silent.summary()["onset_delay_s"] is None


def line(kind, t, start=2.0, name="sit on bench", **more):
    return {
        "type": kind, "interaction_id": "a", "interaction": name, "human_id": 3, "media_time_s": t,
        "started_media_s": start, "duration_s": t - start, "human_box_xyxy_px": list(LEFT), **more,
    }  # fmt: skip


def write_world(folder, events):
    folder.mkdir(exist_ok=True)
    truth = {
        "video": "v.mp4",
        "interactions": [{"name": "sit_on bench", "human_id": 1, "start_s": 2.0, "end_s": 6.0}],
        "frames": [{"t_s": t, "humans": [{"id": 1, "bbox": LEFT}], "objects": []} for t in TIMES.tolist()],
    }
    (folder / "v.json").write_text(json.dumps(truth))
    (folder / "annotations.json").write_text("[]")  # of pictures: no video
    (folder / "v.events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))


def test_folders_of_batch_and_synth_are_read(tmp_path):
    gap = {"type": "coverage_gap", "from_media_s": 1.0}
    ended = line("ended", 6.8, duration_s=4.0)
    write_world(tmp_path, [gap, line("started", 2.3), line("updated", 4.3), ended])
    summary = evaluate_events(*read_folders(tmp_path, tmp_path)).summary()
    assert summary["f1"] == 1.0
    assert summary["onset_delay_s"]["median"] == pytest.approx(0.3)
    assert summary["end_delay_s"]["median"] == pytest.approx(0.8)
    assert summary["end_dating_error_s"]["median"] == pytest.approx(0.0)


def test_the_command_prints_precision_recall_and_f1(tmp_path):
    write_world(
        tmp_path,
        [line("started", 2.3), line("ended", 6.8, duration_s=4.0), line("started", 9.0, 8.8) | {"interaction_id": "b"}],
    )
    options = ["events", "--predictions", str(tmp_path), "--annotations", str(tmp_path)]
    document = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert (document["precision"], document["recall"], document["f1"]) == (0.5, 1.0, pytest.approx(2 / 3))
    bench = document["by_interaction"]["sit on bench"]
    assert (bench["matched"], bench["missed"], bench["false"]) == (1, 0, 1)
    assert bench["per_hour"] == pytest.approx(180.0)  # one in 20 s
    assert bench["per_hour_interval"][0] < 180 < bench["per_hour_interval"][1]
    lines = CliRunner().invoke(app, options).stdout.splitlines()
    assert any(row.split() == ["precision", "0.5000"] for row in lines)


def test_an_event_that_never_ended_lasts_to_its_last_line(tmp_path):
    write_world(tmp_path, [line("started", 2.3), line("updated", 5.5)])
    assert read_events(tmp_path / "v.events.jsonl")[0].end_s == pytest.approx(5.5)


def test_missing_or_broken_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_folders(tmp_path / "nowhere", tmp_path)
    with pytest.raises(InputError, match="no video annotations"):
        read_folders(tmp_path, tmp_path)
    write_world(tmp_path, [])
    (tmp_path / "v.events.jsonl").write_text('{"type": "started"}\n')
    with pytest.raises(InputError, match=r"v\.events\.jsonl:1"):
        read_folders(tmp_path, tmp_path)
    (tmp_path / "v.events.jsonl").unlink()
    with pytest.raises(InputError, match="hoistream batch"):
        read_folders(tmp_path, tmp_path)
