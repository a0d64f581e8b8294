"""What a bundle gives equals what the same weights give through torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.loading import load_model
from engines.registry import open_engine
from hoiclip.shipped import shipped, shipped_model
from hoiclip.types import Canvas, Outputs
from hoiclip.weights import load_torch_model
from stream.recordings.clip_frames import read_clip

pytestmark = pytest.mark.xdist_group("engines")
TEXTS = ["a person riding a bicycle", "", "Ein Mädchen trägt eine Leiter 🪜 &amp; winkt", "word " * 200]


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_embeddings_of_the_clip_are_within_1e_4_of_eager_torch(kind: str, tmp_path: Path) -> None:
    bundle, torch = load_model(shipped_model()), load_torch_model(shipped_model())
    canvas = Canvas(256, 448)
    frames = [frame.pixels for frame in read_clip(shipped("assets/demo.mp4"), canvas, fps=0.5)]
    with (
        open_engine("torch", torch, canvas, precision="fp32") as eager,
        open_engine(kind, bundle, canvas, cache_dir=tmp_path) as engine,
    ):
        for frame in frames:
            for name, expected, given in zip(
                Outputs._fields, eager.infer(frame[None]), engine.infer(frame[None]), strict=True
            ):
                limit = 1e-3 if name == "object_logits" else 1e-4
                np.testing.assert_allclose(given, expected, atol=limit, rtol=0, err_msg=name)
    assert len(frames) > 10


def test_text_embeddings_are_within_1e_4_of_torch() -> None:
    bundle, torch = load_model(shipped_model()), load_torch_model(shipped_model())
    np.testing.assert_allclose(bundle.encode_texts(TEXTS), torch.encode_texts(TEXTS), atol=1e-4, rtol=0)
    assert bundle.encode_texts([]).shape == (0, 128)
