from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.track.cuts import CutDetector
from stream.track.tracker import PairTracker
from tests.stream.track.scenes import OBJECT_NAMES, Scene


def through_a_file(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_a_tracker_goes_on_from_any_frame_as_if_it_had_never_stopped(first: int) -> None:
    for seed in range(first, first + 15):
        scene = Scene(seed)
        frames = list(scene.frames())

        def tracker(scene: Scene = scene) -> PairTracker:
            return PairTracker(scene.names, object_names=OBJECT_NAMES, settings=scene.settings)

        whole, often = tracker(), tracker()
        for number, frame in enumerate(frames):
            if number % (1 + seed % 4) == 0:
                arrays = through_a_file(often.saved())
                often = tracker()
                often.restore(arrays)
            step = frame.t_s, frame.detections, frame.corrupt, frame.cut
            assert often.update(*step) == whole.update(*step)
            assert often.snapshot() == whole.snapshot()
        assert often.flush(99.0, "end_of_file") == whole.flush(99.0, "end_of_file")


def test_a_cut_is_found_across_the_gap() -> None:
    random = np.random.default_rng(3)
    views = [random.integers(0, 256, (9, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(2)]
    cuts, fresh = CutDetector(), CutDetector()
    fresh.restore(through_a_file(fresh.saved()))
    assert not fresh.observe(views[0])
    assert not cuts.observe(views[0])
    later = CutDetector()
    later.restore(through_a_file(cuts.saved()))
    assert later.observe(views[1])
    assert not later.observe(views[1])
