from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hoistream
from stream.recordings.table import event_columns
from tests.hoistream.conftest import EAGER


@pytest.fixture
def process(tiny: hoistream.Model) -> Callable[..., pa.Table]:
    """`hoistream.process` with a model that finds something in every frame."""

    def run(paths: Any, **options: Any) -> pa.Table:
        return hoistream.process(paths, **{"model": tiny, "tracker": EAGER, "progress": False} | options)

    return run


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    for name in ("one.mp4", "two.mp4"):
        shutil.copy(clip, made / name)
    return made


def test_a_folder_becomes_one_typed_table(process: Callable[..., pa.Table], folder: Path) -> None:
    table = process(folder)
    assert table.schema == pa.schema([pa.field("video", pa.string()), *event_columns()])
    assert set(table["video"].to_pylist()) == {str(folder / "one.mp4"), str(folder / "two.mp4")}
    by_video = {name: table.filter(pc.equal(table["source_id"], name)) for name in ("one", "two")}
    assert by_video["one"].num_rows == by_video["two"].num_rows > 0
    assert by_video["one"]["media_time_s"].to_pylist() == by_video["two"]["media_time_s"].to_pylist()
    assert list(folder.iterdir()) == [folder / "one.mp4", folder / "two.mp4"] or len(list(folder.iterdir())) == 2


def test_a_quiet_video_gives_an_empty_table_of_the_same_columns(process: Callable[..., pa.Table], folder: Path) -> None:
    quiet = process(folder, tracker={"enter_score": 1.0, "leave_score": 1.0})
    quiet_rows = quiet.filter(pc.is_in(quiet["type"], pa.array(["started", "updated", "ended"])))
    assert quiet_rows.num_rows == 0
    assert quiet.schema == process(folder).schema


def test_results_stay_in_the_folder_and_a_second_call_takes_them_over(
    process: Callable[..., pa.Table], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = process(folder, out=out, annotated=True)
    for part in ("events.jsonl", "events.parquet", "timeline.png", "annotated.mp4"):
        assert (out / f"one.{part}").is_file()
    stamps = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "summary.json"}
    assert process(folder, out=str(out), annotated=True).equals(first)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "summary.json"} == stamps


def test_a_video_that_fails_is_raised_with_the_table_of_the_others(
    process: Callable[..., pa.Table], folder: Path
) -> None:
    (folder / "bad.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(hoistream.ProcessError, match=r"1 of 3 videos failed.*bad\.mp4") as caught:
        process(folder)
    assert list(caught.value.failed) == [folder / "bad.mp4"]
    assert set(caught.value.table["source_id"].to_pylist()) == {"one", "two"}
    assert isinstance(caught.value, hoistream.HoistreamError)


def test_events_reach_sinks_while_they_are_found(process: Callable[..., pa.Table], clip: Path, tmp_path: Path) -> None:
    class Memory:
        def __init__(self) -> None:
            self.ids: list[str] = []
            self.closed = 0

        def write(self, event: hoistream.Event) -> None:
            self.ids.append(event.event_id)

        def close(self) -> None:
            self.closed += 1

    memory, file = Memory(), tmp_path / "events.jsonl"
    table = process(clip, sinks=[memory, f"jsonl:{file}"])
    assert memory.ids == table["event_id"].to_pylist()
    assert memory.closed == 1
    assert len(file.read_text().splitlines()) == table.num_rows


def test_progress_is_shown_on_stderr_and_only_when_asked_for(
    process: Callable[..., pa.Table], clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process(clip)
    assert capfd.readouterr() == ("", "")
    process(clip, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "done: clip.mp4: 16 frames" in err


def test_nothing_is_left_behind(process: Callable[..., pa.Table], clip: Path) -> None:
    process(clip)
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    process(clip)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("paths", "options", "message"),
    [
        (["gone.mp4"], {}, r"gone\.mp4: no such file or folder"),
        ([], {}, "no videos"),
        ("clip", {"annotated": True}, "annotated: give `out`"),
        ("clip", {"engine": "openvno"}, "engine, `kind`"),
        ("clip", {"vocabulary": ["hold cupp"]}, "unknown interaction `hold cupp`"),
        ("clip", {"tracker": {"gap": 1}}, "tracker, `gap`"),
        ("clip", {"out": "/proc/nowhere"}, "cannot be made"),
        ("clip", {"target_fps": 0.0}, "target_fps"),
    ],
)
def test_what_cannot_be_right_is_one_line(
    process: Callable[..., pa.Table], clip: Path, paths: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(hoistream.InputError, match=message) as caught:
        process(clip if paths == "clip" else paths, **options)
    assert "\n" not in str(caught.value)


def test_zones_reach_the_table_and_other_zones_do_a_video_again(
    process: Callable[..., pa.Table], folder: Path, tmp_path: Path
) -> None:
    whole = {"zones": {"everywhere": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "settle_s": 0}}}
    file, out = tmp_path / "zones.yaml", tmp_path / "out"
    file.write_text(json.dumps(whole))
    zoned = process(folder, out=out, zones=file)
    of_interactions = zoned.filter(pc.is_in(zoned["type"], pa.array(["started", "updated", "ended"])))
    assert {json.loads(text)[0] for text in of_interactions["zones"].to_pylist()} == {"everywhere"}
    assert process(folder, out=out, zones=whole).equals(zoned)
    plain = process(folder, out=out)
    assert {text for text in plain["zones"].to_pylist() if text is not None} == {"[]"}
    with pytest.raises(hoistream.InputError, match=r"zones, `zones\.a\.polygon`: .*at least 3"):
        process(folder, zones={"zones": {"a": {"polygon": [[0, 0]]}}})


RULES = {
    "rules": [
        {"name": "long", "lasts": {"what": {"zone": "everywhere"}, "for_s": 0.2}},
        {"name": "often", "count": {"what": {"zone": "everywhere"}, "at_least": 2, "within_s": 60}},
    ]
}
WHOLE = {"zones": {"everywhere": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "settle_s": 0}}}


def test_other_rules_judge_the_stored_events_again_without_looking_at_the_video(
    process: Callable[..., pa.Table], folder: Path, tmp_path: Path
) -> None:
    out, heard = tmp_path / "out", []

    class Listener:
        write = heard.append

        def close(self) -> None: ...

    plain = process(folder, out=out, zones=WHOLE)
    for video in folder.iterdir():
        video.chmod(0)
    again = process(folder, out=out, zones=WHOLE, rules=RULES, sinks=[Listener()])
    alerts = again.filter(pc.equal(again["type"], "alert"))
    assert set(alerts["rule"].to_pylist()) == {"long", "often"}
    assert again.filter(pc.not_equal(again["type"], "alert")).equals(plain)
    assert [event.event_id for event in heard] == alerts["event_id"].to_pylist()
    assert process(folder, out=tmp_path / "new", zones=WHOLE, rules=RULES).equals(again)  # as if judged at once
    assert process(folder, out=out, zones=WHOLE).equals(plain)
    with pytest.raises(hoistream.InputError, match="no zone 'nowhere'"):
        process(folder, rules={"rules": [{"name": "a", "lasts": {"what": {"zone": "nowhere"}, "for_s": 1}}]})
