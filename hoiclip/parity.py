"""Compare our model with numbers of the published one, on weights computed from each key's name.

Run: python -m hoiclip.parity MANIFEST GOLDEN [--batch-norm FILE] [--prompts FILE]
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hoiclip.boxes import cxcywh_to_xyxy
from hoiclip.checkpoint import Converted, build, convert
from hoiclip.classifier import TrainedHeads
from hoiclip.errors import HoistreamError, InputError
from hoiclip.model import HoiClip
from hoiclip.parity_fill import CLIP, IMAGENET, image, normalised, tensor
from hoiclip.predictor import resized_size
from hoiclip.preprocess import Inputs, prepare_picture

Arrays = dict[str, NDArray[Any]]
PROMPTS = (
    "a photo of a person riding a bicycle",
    "a photo of a person and an airplane",
    "a photo of a person holding a hot dog",
    "a photo of a bicycle",
    "a photo of nothing",
    "a photo of a person talking on a cell phone",
    "person carrying a suitcase, waiting",
    "two people shaking hands in front of a doorway",
)
_BOXES = ("pred_sub_boxes", "pred_obj_boxes")


class Line(NamedTuple):
    """The comparison of one array."""

    name: str
    error: float  # maximum absolute difference
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the error is within tolerance; NaN is not."""
        return self.error <= self.tolerance


def official_weights(manifest: Path, golden: Arrays, batch_norm: Arrays) -> dict[str, Tensor]:
    """Return the official-format state dict that a manifest (JSON, may be gzipped) lists.

    Structural keys come from ``structural/*`` of the golden file or from `batch_norm`. Raises InputError for one that
    is in neither.
    """
    opener = gzip.open if manifest.suffix == ".gz" else open
    try:
        with opener(manifest, "rt", encoding="utf-8") as file:
            entries = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{manifest}: cannot be read as a manifest: {error}") from error
    weights: dict[str, Tensor] = {}
    for entry in entries:
        key = entry["key"]
        if entry["kind"] == "structural":
            found = golden.get(f"structural/{key}", batch_norm.get(key))
            if found is None:
                raise InputError(f"{manifest}: no values for the structural key `{key}`; give --batch-norm FILE")
            values = found.astype(np.float32)
        else:
            values = tensor(key, entry["shape"], entry["kind"])
        weights[key] = torch.from_numpy(np.array(values))
    return weights


def convert_manifest(manifest: Path, golden: Arrays, batch_norm: Arrays) -> Converted:
    """Return the manifest's weights through the same conversion as a downloaded checkpoint's."""
    return convert(official_weights(manifest, golden, batch_norm), str(manifest))


@torch.inference_mode()
def our_arrays(model: HoiClip, classifiers: TrainedHeads, inputs: Inputs, mask: Tensor | None = None) -> Arrays:
    """Return our values under the golden file's names for a batch."""
    features = model.features(inputs.image, inputs.clip_image, mask)
    outputs = model.heads(features, last_only=True)
    logits = classifiers.logit_scale * (
        outputs.interaction_embeddings @ torch.from_numpy(classifiers.interaction_text).T
        + torch.from_numpy(classifiers.interaction_bias)
        + classifiers.verb_weight
        * (outputs.verb_embeddings @ torch.from_numpy(classifiers.verb_text).T)
        @ torch.from_numpy(classifiers.verb_to_interaction)
    )
    last = torch.cat((features.humans[-1], features.objects[-1]), dim=1)  # [B,2Q,D]
    ours = {
        "pred_hoi_logits": logits,
        "pred_obj_logits": outputs.object_logits,
        "pred_sub_boxes": outputs.human_boxes,
        "pred_obj_boxes": outputs.object_boxes,
        "clip_logits": (outputs.clip_embedding @ torch.from_numpy(classifiers.text_embedding).T)[:, None],
        "hoi_feature": outputs.interaction_embeddings,
        "clip_visual_head": features.clip_tokens[:, :4] @ model.clip.visual.proj,
        "clip_cls": features.clip_embedding,
        "input_proj_corner": features.projected[:, :8, :4, :4],
        "memory_head": features.memory[:, :16, :16].transpose(0, 1),
        "instance_last": last[..., :16].transpose(0, 1),
        "interaction_layers": features.interactions[:, :, :8, :16].transpose(1, 2),
    }
    return {name: value.numpy() for name, value in ours.items()}


def single_inputs() -> tuple[Inputs, None]:
    """Return the inputs of ``single/``."""
    return Inputs(_batch(normalised(11, 256, 352, *IMAGENET)), _batch(normalised(12, 224, 224, *CLIP))), None


def padded_inputs() -> tuple[Inputs, Tensor]:
    """Return the inputs and the padding mask of ``padded/``."""
    frames, mask = torch.zeros(2, 3, 256, 320), torch.ones(2, 256, 320, dtype=torch.bool)
    for row, (seed, height, width) in enumerate(((21, 224, 320), (22, 256, 256))):
        frames[row, :, :height, :width] = torch.from_numpy(normalised(seed, height, width, *IMAGENET))
        mask[row, :height, :width] = False
    crops = torch.cat([_batch(normalised(seed, 224, 224, *CLIP)) for seed in (23, 24)])
    return Inputs(frames, crops), mask


def steady_arithmetic() -> None:
    """Use at least two threads: with a single one oneDNN picks Winograd convolutions, which move logits by 5e-4."""
    torch.set_num_threads(max(2, torch.get_num_threads()))


def compare(
    model: HoiClip, classifiers: TrainedHeads, golden: Arrays, prompts: tuple[str, ...] = PROMPTS
) -> Iterator[Line]:
    """Yield one line a golden array, in the file's order; a NaN error marks one that we do not know."""
    ours: Arrays = {}
    for prefix, (inputs, mask) in {"single": single_inputs(), "padded": padded_inputs()}.items():
        if any(name.startswith(f"{prefix}/") for name in golden):
            ours |= {f"{prefix}/{name}": value for name, value in our_arrays(model, classifiers, inputs, mask).items()}
    if any(name.startswith("image/") for name in golden):
        picture = image(1, 480, 640)
        prepared = prepare_picture(picture, model.config)
        arrays = our_arrays(model, classifiers, prepared)
        ours |= {f"image/{name}": value for name, value in arrays.items()}
        ours |= _picture_arrays(prepared, resized_size(480, 640, model.config.shorter_side, model.config.longer_side))
        ours |= _post_arrays(arrays)
    if "text/tokens" in golden or "text/embeddings" in golden:
        ours |= _text_arrays(model, prompts)
    ours["text/hoi_classifier_rows"] = classifiers.text_embedding[: len(golden.get("text/hoi_classifier_rows", ()))]
    for name, expected in golden.items():
        if name.startswith("structural/"):
            continue
        value = ours.get(name)
        yield Line(name, _error(value, expected), _tolerance(name))


def _batch(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(values)[None]


def _picture_arrays(prepared: Inputs, size: tuple[int, int]) -> Arrays:
    pixels, crop = prepared.image[0].numpy(), prepared.clip_image[0].numpy()
    return {
        "image/resized_size": np.array(size[::-1]),  # stored as width, height
        "image/pixels_corner": pixels[:, :8, :8],
        "image/clip_pixels_corner": crop[:, :8, :8],
        "image/pixels_mean_std": np.array([pixels.mean(), pixels.std(ddof=1), crop.mean(), crop.std(ddof=1)]),
    }


def _post_arrays(arrays: Arrays) -> Arrays:
    scale = np.array([640, 480, 640, 480], np.float32)
    boxes = [cxcywh_to_xyxy(arrays[name][0]) * scale for name in _BOXES]
    labels = arrays["pred_obj_logits"][0, :, :-1].argmax(-1)
    return {
        "post/target_size": np.array([[480, 640]]),
        "post/boxes": np.concatenate(boxes),
        "post/labels": np.concatenate((np.zeros_like(labels), labels)),
    }


@torch.inference_mode()
def _text_arrays(model: HoiClip, prompts: tuple[str, ...]) -> Arrays:
    from open_clip.tokenizer import SimpleTokenizer

    tokens = SimpleTokenizer()(list(prompts))
    return {
        "text/tokens": tokens.numpy(),
        "text/embeddings": model.clip.encode_text(tokens).numpy(),
    }


def _error(value: NDArray[Any] | None, expected: NDArray[Any]) -> float:
    if value is None or value.shape != expected.shape:
        return float("nan")
    return float(np.abs(value.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))


def _tolerance(name: str) -> float:
    group, _, array = name.partition("/")
    if array in ("tokens", "resized_size", "target_size", "labels"):
        return 0.0
    if group == "post":
        return 2e-2  # pixels
    if array in _BOXES:
        return 2e-4 if group == "image" else 2e-5
    return 2e-3 if group == "image" else 2e-4


def main(arguments: list[str] | None = None) -> int:
    """Print every golden array's maximum absolute error; return 1 when one is outside its tolerance, 2 for misuse."""
    parser = argparse.ArgumentParser(prog="python -m hoiclip.parity", description=__doc__)
    parser.add_argument("manifest", type=Path, help="JSON list of key, shape, dtype and kind; may be gzipped")
    parser.add_argument("golden", type=Path, help="npz of the published model's outputs")
    parser.add_argument("--batch-norm", type=Path, help="npz of frozen batch-norm statistics")
    parser.add_argument(
        "--prompts", type=Path, help="JSON list of the prompts behind text/; the published ones by default"
    )
    options = parser.parse_args(arguments)
    steady_arithmetic()
    try:
        golden, batch_norm = _load(options.golden), _load(options.batch_norm) if options.batch_norm else {}
        prompts = tuple(json.loads(options.prompts.read_text())) if options.prompts else PROMPTS
        converted = convert_manifest(options.manifest, golden, batch_norm)
        print(f"{converted.variant}: {len(converted.weights)} weights, {len(converted.dropped)} keys dropped")
        model, classifiers = build(converted)
        lines = list(compare(model, classifiers, golden, prompts))
    except HoistreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for line in lines:
        print(f"{'ok  ' if line.ok else 'FAIL'} {line.name:<32} {line.error:.2e}  (tolerance {line.tolerance:.0e})")
    wrong = sum(not line.ok for line in lines)
    print(f"{len(lines) - wrong} of {len(lines)} arrays agree")
    return 1 if wrong else 0


def _load(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an npz file: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
