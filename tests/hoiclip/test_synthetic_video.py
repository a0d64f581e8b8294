"""Videos of the world: equal pixels for equal seeds, truth that agrees with the frames, the command."""

import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from hoiclip.errors import InputError
from hoiclip.shipped import shipped
from hoiclip.synthetic import world
from hoiclip.synthetic.acts import IMPLIED
from hoiclip.synthetic.clip import plan_clip
from hoiclip.synthetic.dataset import seed_of, write_pictures
from hoiclip.synthetic.demo import SECONDS, demo_clip
from hoiclip.synthetic.video import MAX_GAP_S, write_video


def _pixels(path: Path) -> str:
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
    return digest.hexdigest()


def _check(annotation: dict) -> None:
    """Interactions must agree with the frames: both have boxes at the start, at the end and, but for gaps, between."""
    fps, frames = annotation["fps"], annotation["frames"]
    assert [f["t_s"] for f in frames] == [round(i / fps, 3) for i in range(annotation["num_frames"])]
    present = [{each["id"] for each in f["humans"] + f["objects"]} for f in frames]
    kinds = {each["id"]: each["object"] for f in frames for each in f["objects"]}
    for event in annotation["interactions"]:
        assert event["name"] == f"{event['verb']} {event['object']}"
        assert event["name"] in world.INTERACTIONS
        assert kinds[event["object_id"]] == event["object"]
        first, last = round(event["start_s"] * fps), round(event["end_s"] * fps) - 1
        both = [i for i in range(first, last + 1) if {event["human_id"], event["object_id"]} <= present[i]]
        assert both[0] == first
        assert both[-1] == last
        assert np.diff(both, append=last).max() <= MAX_GAP_S * fps
        implied = IMPLIED.get(event["name"])
        assert implied is None or any(
            other["name"] == implied
            and (other["human_id"], other["object_id"]) == (event["human_id"], event["object_id"])
            and other["start_s"] <= event["start_s"]
            and other["end_s"] >= event["end_s"]
            for other in annotation["interactions"]
        )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    path = tmp_path_factory.mktemp("world") / "a.mp4"
    return path, write_video(path, 4, 12.0, 10, 128, 224)


def test_the_annotation_agrees_with_itself_and_with_the_file(clip: tuple[Path, dict]) -> None:
    path, annotation = clip
    assert json.loads(path.with_suffix(".json").read_text()) == annotation
    assert annotation["interactions"]
    _check(annotation)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = [round(float(f.pts * stream.time_base), 3) for f in container.decode(stream)]
    assert frames == [f["t_s"] for f in annotation["frames"]]


def test_equal_seeds_give_equal_pixels_and_other_seeds_other_ones(clip: tuple[Path, dict], tmp_path: Path) -> None:
    path, annotation = clip
    again = write_video(tmp_path / "a.mp4", 4, 12.0, 10, 128, 224)
    assert again == annotation
    assert _pixels(tmp_path / "a.mp4") == _pixels(path)
    write_video(tmp_path / "other.mp4", 5, 12.0, 10, 128, 224)
    assert _pixels(tmp_path / "other.mp4") != _pixels(path)


@pytest.mark.parametrize("seed", range(12))
def test_clips_hold_several_interactions_whose_motion_has_no_jumps(seed: int) -> None:
    clip = plan_clip(seed, 15.0)
    names, before = set(), {}
    for step in range(15 * 25):
        _, _, shown, doing = clip.draw(step / 25, 64, 112)
        names |= {each.name for each in doing}
        now = {number: np.array([e.x0, e.y0, e.x1, e.y1]) for number, kind, e in shown if kind == "person"}
        for number, box in now.items():
            if number in before:  # a leg or an arm may be quick, the head is not
                assert abs(box[1] - before[number][1]) < 14, (number, step)
                assert np.abs(box - before[number]).max() < 40, (number, step)
        before = now
    assert 2 <= len(names) <= 6
    assert names <= set(world.SEEN)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0])
def test_short_clips_are_fine(seconds: float, tmp_path: Path) -> None:
    for seed in range(4):
        annotation = write_video(tmp_path / "a.mp4", seed, seconds, 10, 64, 112)
        assert annotation["num_frames"] == round(seconds * 10)
        _check(annotation)


def test_unseen_interactions_come_only_when_asked_for() -> None:
    names = set()
    for step in range(0, 15 * 25, 10):
        names |= {each.name for each in plan_clip(3, 15.0, split="test").draw(step / 25, 64, 112)[3]}
    assert names & set(world.UNSEEN)


def test_a_size_that_h264_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="even width"):
        write_video(tmp_path / "a.mp4", 0, 1.0, 10, 127, 223)
    assert not list(tmp_path.iterdir())


def test_runs_of_different_seeds_share_no_item() -> None:
    assert seed_of(1, 0) == seed_of(0, 99_999) + 1
    with pytest.raises(InputError, match="at most"):
        seed_of(0, 100_000)


def test_workers_do_not_change_what_is_drawn(tmp_path: Path) -> None:
    one = write_pictures(tmp_path / "one", 3, 4, height=64, width=112)
    two = write_pictures(tmp_path / "two", 3, 4, height=64, width=112, workers=2)
    assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "one/000003.jpg").read_bytes() == (tmp_path / "two/000003.jpg").read_bytes()


def test_the_synth_command_writes_videos_and_pictures(tmp_path: Path) -> None:
    import typer

    from stream.commands.synth import synth

    app = typer.Typer()
    app.command()(synth)
    options = ["--seed", "2", "--videos", "1", "--pictures", "3", "--seconds", "2", "--height", "128"]
    result = CliRunner().invoke(app, [*options, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {p.name for p in tmp_path.iterdir()} == {"video_0000.mp4", "video_0000.json", "pictures"}
    records = json.loads((tmp_path / "pictures/annotations.json").read_text())
    assert [r["file_name"] for r in records] == ["000000.jpg", "000001.jpg", "000002.jpg"]
    assert all((tmp_path / "pictures" / r["file_name"]).exists() for r in records)
    nothing = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert isinstance(nothing.exception, InputError)


def test_the_shipped_demo_clip_is_small_seen_and_true() -> None:
    path = shipped("assets/demo.mp4")
    assert path.stat().st_size <= 2_000_000
    annotation = json.loads(path.with_suffix(".json").read_text())
    _check(annotation)
    assert {event["name"] for event in annotation["interactions"]} <= set(world.SEEN)
    assert annotation["num_frames"] == SECONDS * annotation["fps"]
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    drawn = demo_clip().draw(0.0, annotation["height"], annotation["width"])[0]
    assert np.abs(stored.astype(int) - drawn).mean() < 6  # the code still draws the clip that is shipped
