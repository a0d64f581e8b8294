"""Parity with the published model, on weights computed from each key's name; and what the full model must hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hoiclip import parity
from hoiclip.classifier import TrainedHeads
from hoiclip.clip_tower import encode_texts
from hoiclip.model import HoiClip
from hoiclip.parity_fill import IMAGENET, image, normalised
from hoiclip.preprocess import prepare_picture
from hoiclip.weights import assemble

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
pytestmark = pytest.mark.xdist_group("full_model")


@pytest.fixture(scope="module", autouse=True)
def _steady() -> Iterator[None]:
    before = torch.get_num_threads()
    parity.steady_arithmetic()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def golden() -> parity.Arrays:
    return dict(np.load(GOLDEN / "golden_hico.npz"))


@pytest.fixture(scope="module")
def published(golden: parity.Arrays) -> tuple[HoiClip, TrainedHeads]:
    batch_norm = dict(np.load(GOLDEN / "batch_norm_statistics.npz"))
    converted = parity.convert_manifest(GOLDEN / "manifest_hico.json.gz", golden, batch_norm)
    assert converted.variant == "HICO-DET"
    assert len(converted.dropped) == 68
    model = assemble(converted.config, converted.weights)
    prompts = [interaction.prompt for interaction in converted.vocabulary.interactions]
    rows = np.zeros_like(converted.heads.text_embedding)
    rows[:4] = encode_texts(model.clip, prompts[:4]).numpy()  # all take half a minute; the command line compares them
    return model, replace(converted.heads, text_embedding=rows)


@pytest.mark.slow
def test_every_golden_array_is_within_tolerance(published: tuple[HoiClip, TrainedHeads], golden: parity.Arrays) -> None:
    wanted = {k: v for k, v in golden.items() if not k.endswith("clip_logits") and not k.startswith("image/")}
    wanted = {k: v for k, v in wanted.items() if not k.startswith("post/")}
    lines = list(parity.compare(*published, wanted))
    assert len(lines) > 20
    assert [line for line in lines if not line.ok] == []


@pytest.mark.slow
def test_a_picture_through_the_whole_preprocessing_agrees(
    published: tuple[HoiClip, TrainedHeads], golden: parity.Arrays
) -> None:
    wanted = {k: v for k, v in golden.items() if k.startswith(("image/", "post/")) and not k.endswith("clip_logits")}
    assert [line for line in parity.compare(*published, wanted) if not line.ok] == []


@pytest.mark.slow
def test_the_compiled_entry_equals_the_preprocessed_one_on_a_canvas_size_frame(
    published: tuple[HoiClip, TrainedHeads],
) -> None:
    model, _ = published
    frame = image(5, 256, 448)
    # 256 px is no evaluation size, so only Pillow's crop of the frame as it is comes from the preprocessing.
    prepared = prepare_picture(frame, replace(model.config, shorter_side=256, longer_side=448))
    with torch.inference_mode():
        ours = model(torch.from_numpy(frame)[None])
        theirs = model.forward_preprocessed(*prepared)
    scale = np.exp(float(model.logit_scale))
    assert float((ours.object_logits - theirs.object_logits).abs().max()) < 2e-3
    assert float((ours.interaction_embeddings - theirs.interaction_embeddings).abs().max()) * scale < 2e-3


@pytest.mark.slow
def test_a_batch_equals_its_frames_one_by_one(published: tuple[HoiClip, TrainedHeads]) -> None:
    model, _ = published
    frames = torch.from_numpy(np.stack([image(seed, 128, 160) for seed in (1, 2)]))
    with torch.inference_mode():
        together = model(frames)
        alone = [model(frame[None]) for frame in frames]
    for field, value in together._asdict().items():
        expected = torch.cat([getattr(one, field) for one in alone])
        assert float((value - expected).abs().max()) < 1e-3, field  # other convolution kernels for other batches


def test_all_padding_and_one_pixel_are_handled(tiny_loaded: Any) -> None:
    model = tiny_loaded.module
    size = model.config.clip.image_size
    with torch.inference_mode():
        blank = model.forward_preprocessed(
            torch.zeros(1, 3, 64, 96), torch.zeros(1, 3, size, size), torch.ones(1, 64, 96, dtype=torch.bool)
        )
        dot = model.forward_preprocessed(*prepare_picture(np.zeros((1, 1, 3), np.uint8), model.config))
    for outputs in (blank, dot):
        assert all(bool(torch.isfinite(value).all()) for value in outputs)


def test_a_wrong_array_fails_and_an_unknown_one_is_not_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert not parity.Line("single/pred_hoi_logits", 1e-3, 2e-4).ok
    assert not parity.Line("single/new_array", float("nan"), 2e-4).ok
    assert parity.main(["missing.json", "missing.npz"]) == 2
    assert "missing.npz: cannot be read" in capsys.readouterr().err


def test_classifier_rows_are_compared_in_a_file_that_holds_no_tokens(tiny_loaded: Any) -> None:
    model, classifiers = tiny_loaded.module, tiny_loaded.heads
    for count in (4, 7):
        right = {"text/hoi_classifier_rows": classifiers.text_embedding[:count]}
        (line,) = parity.compare(model, classifiers, right)
        assert line.ok and line.error == 0.0
    wrong = {"text/hoi_classifier_rows": classifiers.text_embedding[1:5]}
    (line,) = parity.compare(model, classifiers, wrong)
    assert line.error > 1e-3 and not line.ok
    missing = {"text/hoi_classifier_rows": np.zeros((31, 128), np.float32)}  # more rows than there are interactions
    assert not next(parity.compare(model, classifiers, missing)).ok


def test_the_filled_weights_are_a_pure_function_of_their_names() -> None:
    first = normalised(11, 32, 32, *IMAGENET)
    assert np.array_equal(first, normalised(11, 32, 32, *IMAGENET))
    assert not np.array_equal(first, normalised(12, 32, 32, *IMAGENET))
