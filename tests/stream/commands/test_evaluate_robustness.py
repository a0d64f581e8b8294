"""`hoistream eval robustness` on a drawn video, with an engine that computes nothing: all but the numbers is real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hoiclip.errors import InputError
from hoiclip.synthetic.video import write_video
from stream.commands.evaluate import app


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_video(folder / "v.mp4", 77, 4.0, fps=8, height=256, width=448)
    return folder


def run(*options: object):
    return CliRunner().invoke(app, ["robustness", *map(str, options)])


def test_the_truth_gives_a_table_curves_and_sizes(world, tmp_path):
    done = run(
        "-a", world, "--model", "demo", "--engine", "null", "--only", "colour_cast", "--only", "fog", "-o", tmp_path
    )
    assert done.exit_code == 0, done.output
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:5]] == [
        ["untouched", "0"], ["fog", "1"], ["fog", "2"], ["fog", "3"],
    ]  # fmt: skip
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 8
    measures = json.loads((tmp_path / "measures.json").read_text())
    assert set(measures) == {"clean", "corruptions", "sizes"}


def test_own_footage_agrees_with_itself_while_nothing_changes(world):
    options = "--model", "demo", "--engine", "null", "--only", "dropped_frames", "--no-sizes", "--json"
    done = run("--video", world / "v.mp4", *options)
    result = json.loads(done.stdout)
    assert result["clean"]["f1"] == 1.0 and result["clean"]["new_per_frame"] == 0.0
    assert set(result["corruptions"]["dropped_frames"]) == {"1", "2", "3"} and "sizes" not in result


def test_mistakes_are_named(world, tmp_path):
    for options, words in (
        ([], "either --annotations"),
        (["-a", world, "--video", world / "v.mp4"], "either --annotations"),
        (["-a", world, "--only", "snow"], "expected one of noise"),
        (["-a", tmp_path], "no video with an annotation"),
        (["-a", tmp_path / "nowhere"], "no such folder"),
        (["--video", tmp_path / "a.mp4"], "no such file"),
        (["-a", world, "--out", world / "v.json"], "a file is in the way"),
        (["-a", world], "no model given"),
    ):
        model = [] if words == "no model given" else ["--model", "demo"]
        error = run(*options, *model).exception
        assert isinstance(error, InputError) and words in str(error), options


def test_what_is_lost_is_said_in_words():
    from stream.commands.evaluate_robustness import _verdicts

    def row(part):
        return {"frame_recall": 0.8 * part, "recall": 0.9}

    size = {"reliable_from_px": 40.0, "own_size_median_px": 52.0, "own_share_below": 0.25}
    result = {
        "clean": row(1.0),
        "corruptions": {
            "fog": {"1": row(0.9), "2": row(0.7), "3": row(0.1)},
            "rain": {"1": row(0.9), "2": row(0.79), "3": row(0.7)},
            "blur": {"1": row(1.0), "2": row(0.95), "3": row(0.9)},
        },
        "sizes": {"hold cup": size, "read book": {**size, "reliable_from_px": None}},
    }
    assert _verdicts(result) == [
        "fog: not seen any more from strength 3 of 3",
        "rain: unreliable from strength 2 of 3",
        "`hold cup` is unreliable below 40 px (objects here: 52 px in the median, 25 % are smaller)",
        "`read book` is reliable at no size that was seen (objects here: 52 px in the median)",
    ]
