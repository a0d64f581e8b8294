from __future__ import annotations

import threading
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import hoistream
from engines.null_engine import NullEngine
from hoiclip.shipped import shipped


@pytest.fixture(scope="module")
def frame() -> NDArray[np.uint8]:
    """A frame of the demonstration clip in which somebody rides a bicycle, RGB."""
    with av.open(str(shipped("assets/demo.mp4"))) as container:
        for picture in container.decode(video=0):
            if picture.time >= 3.0:
                return picture.to_ndarray(format="rgb24")
    raise AssertionError("the clip is shorter than 3 s")


@pytest.fixture(scope="module")
def demo() -> hoistream.Model:
    return hoistream.load_model("demo")


def test_a_path_an_array_and_a_pillow_image_give_the_same_named_results(
    demo: hoistream.Model, frame: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "frame.png"
    Image.fromarray(frame).save(path)
    found = demo.predict(frame)
    assert found == demo.predict(str(path)) == demo.predict(path) == demo.predict(Image.open(path))
    riding = next(one for one in found if one.interaction == "ride bicycle")
    assert (riding.verb, riding.object) == ("ride", "bicycle")
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0.3 <= one.score <= 1 for one in found)
    height, width = frame.shape[:2]
    for one in found:
        for left, top, right, bottom in (one.human_box, one.object_box):
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height


def test_words_a_file_and_a_threshold_narrow_what_is_found(
    demo: hoistream.Model, frame: NDArray[np.uint8], tmp_path: Path
) -> None:
    file = tmp_path / "v.yaml"
    file.write_text("interactions: [ride bicycle]\n")
    words = demo.predict(frame, vocabulary=["ride bicycle"])
    assert {one.interaction for one in words} == {"ride bicycle"}
    assert demo.predict(frame, vocabulary=file) == words
    file.write_text("interactions: [hold cup]\n")
    assert "ride bicycle" not in {one.interaction for one in demo.predict(frame, vocabulary=str(file), min_score=0)}
    assert demo.predict(frame, min_score=0.999) == []
    assert len(demo.predict(frame, min_score=0, top=5)) <= 5


def test_free_text_is_found_by_its_words(demo: hoistream.Model, frame: NDArray[np.uint8]) -> None:
    wanted = {"text": "a person riding a bicycle", "object": "bicycle"}
    (best, *_) = demo.predict(frame, vocabulary=[wanted], min_score=0)
    assert (best.interaction, best.object) == ("a person riding a bicycle", "bicycle")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": ["ride bicylce"]}, r"vocabulary, entry 1: unknown interaction `ride bicylce`; did you mean"),
        ({"vocabulary": []}, "vocabulary, `interactions`: List should have at least 1 item"),
        ({"vocabulary": "ride bicycle"}, r"no file ride bicycle; give a YAML file, or a list of words"),
        ({"vocabulary": [{"verb": ""}]}, "`verb` is empty"),
    ],
)
def test_words_that_cannot_be_right_are_one_line(
    demo: hoistream.Model, frame: NDArray[np.uint8], options: dict[str, object], message: str
) -> None:
    with pytest.raises(hoistream.InputError, match=message) as caught:
        demo.predict(frame, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("picture", [3, None, np.zeros((4, 4)), np.zeros((4, 4, 3), np.float32), [[1, 2]]])
def test_what_is_no_picture_is_refused(tiny: hoistream.Model, picture: object) -> None:
    with pytest.raises(hoistream.InputError, match="picture"):
        tiny.predict(picture)


def test_a_file_that_is_no_picture_is_named(tiny: hoistream.Model, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("text.jpg", "missing.jpg"):
        with pytest.raises(hoistream.HoistreamError, match=name):
            tiny.predict(tmp_path / name)


def test_an_unknown_model_engine_or_precision_is_one_line(tiny_model_path: Path) -> None:
    with pytest.raises(hoistream.InputError, match="no model called 'yolo'"):
        hoistream.load_model("yolo")
    with pytest.raises(hoistream.InputError, match=r"engine, `kind`: Input should be 'auto'"):
        hoistream.load_model(tiny_model_path, engine="openvno")
    with pytest.raises(hoistream.InputError, match=r"engine, `precision`"):
        hoistream.load_model(tiny_model_path, precision="fp17")


def test_a_model_says_what_it_knows(demo: hoistream.Model) -> None:
    assert "ride bicycle" in demo.interactions
    assert len(demo.fingerprint) == 16
    assert demo.card["name"]
    assert demo.fingerprint in repr(demo)


def test_threads_may_share_a_model(demo: hoistream.Model, frame: NDArray[np.uint8]) -> None:
    expected, found = demo.predict(frame), []
    threads = [threading.Thread(target=lambda: found.append(demo.predict(frame))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [expected] * 4


def test_closing_a_model_frees_its_engines_and_may_be_done_twice(tiny_model_path: Path) -> None:
    closed: list[hoistream.Canvas] = []

    class Counted(NullEngine):
        def close(self) -> None:
            closed.append(self.canvas)

    model = hoistream.load_model(tiny_model_path)
    own = hoistream.Model(model.loaded, engine=lambda canvas: Counted(model.loaded.config, canvas))
    with own:
        own._engines.name(model.loaded.canvases[0])
    own.close()
    assert closed == [model.loaded.canvases[0]]
