from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from hoiclip.types import Canvas
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.stillness import SETTLE_S, StillGate, View

CANVAS = Canvas(256, 448)
VIEW = View(CANVAS, 1280, 720, 1)
Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def place() -> Picture:
    """A street: shades, walls with windows, a dark road, fine texture."""
    rng = np.random.default_rng(3)
    picture = np.linspace(190, 90, CANVAS.height)[:, None, None] * np.ones((1, CANVAS.width, 3))
    for _ in range(25):
        top, left = rng.integers(0, 200), rng.integers(0, 420)
        picture[top : top + rng.integers(8, 60), left : left + rng.integers(8, 70)] = rng.uniform(20, 235, 3)
    picture[200:] = 75
    return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def looks(pictures: Iterable[Picture], max_still_s: float = 2.0, fps: float = 5.0) -> list[bool]:
    """Return for each picture whether the engine looks at it."""
    gate = StillGate(max_still_s)
    return [not gate.observe(picture, number / fps, VIEW, corrupt=False) for number, picture in enumerate(pictures)]


def shown(place: Picture, change: Callable[[Picture, int, np.random.Generator], Any], count: int = 50) -> list[Picture]:
    rng = np.random.default_rng(5)
    return [np.clip(change(place.astype(np.float32), number, rng), 0, 255).astype(np.uint8) for number in range(count)]


def filmed(pictures: Iterable[Picture], crf: int) -> Iterator[Picture]:
    """Yield the pictures as a camera's H.264 gives them back, with a key frame every two seconds."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=5, options={"crf": str(crf), "g": "10", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = CANVAS.width, CANVAS.height, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def noise(picture: NDArray[np.float32], number: int, rng: np.random.Generator) -> Any:
    return picture + rng.normal(0, 8, picture.shape)


def drift(picture: NDArray[np.float32], number: int, rng: np.random.Generator) -> Any:
    return noise(picture * (1 + 0.004 * number), number, rng)  # 2 % brighter a second


def slope(picture: NDArray[np.float32], number: int, rng: np.random.Generator) -> Any:
    return noise(picture + 0.15 * number * np.linspace(-1, 1, len(picture))[:, None, None], number, rng)


def bands(picture: NDArray[np.float32], number: int, rng: np.random.Generator) -> Any:
    rows = np.arange(len(picture))[:, None, None]
    return noise(picture + 2.5 * np.sin(rows / 20 + 1.7 * number), number, rng)  # a lamp that flickers


@pytest.mark.parametrize("change", [noise, drift, slope, bands])
def test_noise_light_that_drifts_and_lamps_that_flicker_are_still(place: Picture, change: Any) -> None:
    looked = looks(shown(place, change))
    assert sum(looked[5:]) == 4, looked  # one look every two seconds once the view has settled


@pytest.mark.parametrize("crf", [23, 30])
def test_compression_is_still(place: Picture, crf: int) -> None:
    looked = looks(filmed(shown(place, noise), crf))
    assert sum(looked[5:]) <= 7, looked


@pytest.mark.parametrize("crf", [None, 23, 30])
@pytest.mark.parametrize("shade", [40.0, 190.0])
def test_a_walker_at_the_far_end_of_the_view_is_looked_at(place: Picture, crf: int | None, shade: float) -> None:
    """Twelve pixels high and four wide, on a road or before a wall, at half a body's height a second."""

    def walk(picture: NDArray[np.float32], number: int, rng: np.random.Generator) -> Any:
        picture = picture.copy()
        if number >= 20:
            left = 60 + round(1.2 * (number - 20))
            picture[203:215, left : left + 4] = shade
        return noise(picture, number, rng) if crf is None else picture + rng.normal(0, 3, picture.shape)

    pictures = shown(place, walk, 60)
    looked = looks(pictures if crf is None else filmed(pictures, crf))
    assert sum(looked[5:20]) <= 3
    assert looked[20], "his first frame"
    seen = np.flatnonzero(looked[20:])
    assert len(seen) >= 30 and np.diff(seen).max() <= 3, looked[20:]


def test_what_moves_too_slowly_for_two_pictures_adds_up(place: Picture) -> None:
    def creep(picture: NDArray[np.float32], number: int, rng: np.random.Generator) -> Any:
        picture = picture.copy()
        left = 60 + number // 3  # under two pixels a second
        picture[205:225, left : left + 10] = 160
        return picture

    assert sum(looks(shown(place, creep))[5:]) > 10


def test_the_longest_time_between_two_looks_is_kept_at_any_frame_rate(place: Picture) -> None:
    rng = np.random.default_rng(0)
    for times in (np.arange(100) / 25, np.arange(60) / 8, np.arange(60) / 3, np.cumsum(rng.uniform(0.05, 0.3, 200))):
        gate = StillGate(2.0)
        seen = [float(t) for t in times if not gate.observe(place, float(t), VIEW, corrupt=False)]
        jitter = float(np.diff(times).max() - np.diff(times).min())
        assert max(np.diff([*seen, float(times[-1])])) <= 2.0 + jitter + 1e-6
        assert len(seen) < len(times)


def test_zero_looks_at_every_picture(place: Picture) -> None:
    assert all(looks([place] * 10, max_still_s=0.0))


def test_after_a_change_the_engine_goes_on_looking_for_a_while(place: Picture) -> None:
    other = place.copy()
    other[100:140, 100:130] = 255
    looked = looks([place] * 8 + [other] * 8)
    settling = round(SETTLE_S * 5)
    assert looked[8 : 8 + settling] == [True] * settling
    assert not any(looked[9 + settling :])


def test_light_that_is_switched_on_is_no_drift(place: Picture) -> None:
    brighter = np.clip(place * 1.2, 0, 255).astype(np.uint8)
    assert looks([place] * 8 + [brighter])[8]


def test_a_picture_full_of_noise_is_never_still(place: Picture) -> None:
    def storm(picture: NDArray[np.float32], number: int, rng: np.random.Generator) -> Any:
        return picture + rng.normal(0, 40, picture.shape)

    assert all(looks(shown(place, storm, 20)))


@pytest.mark.parametrize("view", [VIEW._replace(width=1920), VIEW._replace(epoch=2), VIEW._replace(height=480)])
def test_another_size_or_connection_begins_anew(place: Picture, view: View) -> None:
    gate = StillGate(2.0)
    still = [gate.observe(place, 0.2 * number, VIEW, corrupt=False) for number in range(6)]
    assert still[-1] and not gate.observe(place, 1.2, view, corrupt=False)


def test_damage_is_never_still_and_nothing_is_compared_with_it(place: Picture) -> None:
    gate = StillGate(2.0)
    still = [gate.observe(place, 0.2 * number, VIEW, corrupt=number == 6) for number in range(12)]
    assert still == [False] * 3 + [True] * 3 + [False] * 4 + [True] * 2


def test_equal_pictures_are_decided_alike(place: Picture) -> None:
    pictures = shown(place, drift, 30)
    assert looks(pictures) == looks([picture.copy() for picture in pictures])


def test_a_canvas_too_small_for_a_block_is_always_looked_at() -> None:
    gate = StillGate(2.0)
    view = View(Canvas(4, 8), 640, 360, 1)
    assert not any(gate.observe(np.zeros((4, 8, 3), np.uint8), 0.2 * n, view, corrupt=False) for n in range(9))


def test_still_frames_are_marked_and_have_a_place_of_their_own_in_the_account(stage: Any) -> None:
    wide = Canvas(32, 64)
    decoder = stage.add("cam", canvases=(wide,), max_still_s=2.0)
    for number in range(12):
        decoder.say(decoder.frame(number, 0.2 * number))
        decoder.ring.frame(number, wide)[:] = 200 if number >= 9 else 100
    stage.take_messages("cam", "opened")
    stage.wait(lambda: stage.num_waiting("cam") == 12)
    batch = FrameBatcher(stage.supervisor, 12, 0.0).collect(5.0)
    assert isinstance(batch, Batch)
    assert [meta.still for meta in batch.meta] == [False] * 3 + [True] * 6 + [False] * 3
    assert batch.to_look_at.shape == (6, 32, 64, 3)
    assert batch.to_look_at[:, 0, 0, 0].tolist() == [100] * 3 + [200] * 3
    account = stage.supervisor.coverage()["cam"]
    assert (account.delivered, account.still, account.seen) == (6, 6, 1.0)
    assert account.decoded == account.skipped + account.delivered + account.still + account.pending
