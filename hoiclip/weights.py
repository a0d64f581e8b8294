"""Save and load converted models: safetensors with everything in one file, and a card for people beside it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from hoiclip.classifier import Floats, TrainedHeads
from hoiclip.clip_tower import encode_texts
from hoiclip.config import ModelConfig
from hoiclip.errors import InputError
from hoiclip.loaded import LoadedModel
from hoiclip.model import HoiClip
from hoiclip.model_file import FORMAT, HEADS, find_model_file, read_model_file
from hoiclip.normalisation import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from hoiclip.predictor import Infer, Look, resized, resized_size
from hoiclip.types import Canvas, Outputs
from hoiclip.vocabulary import load_builtin


@dataclass(frozen=True)
class TorchModel(LoadedModel):
    """A model whose weights are a torch module, to be trained further, run eagerly or exported."""

    module: HoiClip  # evaluation mode, float32

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return unit text embeddings [N, E] by the module's text tower."""
        rows: Floats = encode_texts(self.module.clip, texts).numpy()
        return rows

    def graph(self, canvas: Canvas, cache_dir: Path | None = None) -> Path:
        """Return the ONNX file of the vision graph for any canvas, exported once into the cache."""
        from hoiclip.export import export

        return export(self, canvas, cache_dir)

    def look(self, infer: Infer | None = None) -> Look:
        """Return how to see a picture as the published evaluation does: scaled by its shorter side, eagerly.

        Source: HOICLIP (Ning et al., CVPR 2023); preprocessing of DETR (Carion et al., ECCV 2020).
        """

        def look(picture: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
            sides = self.config.shorter_side, self.config.longer_side
            canvas = Canvas(*resized_size(picture.shape[0], picture.shape[1], *sides))
            frames = torch.from_numpy(resized(picture, canvas)[None])
            with torch.inference_mode():
                return Outputs(*(field.numpy() for field in self.module(frames)))

        return look


def torch_model(loaded: LoadedModel) -> TorchModel:
    """Return the torch form of any loaded model; a bundle's module is loaded for it."""
    return loaded if isinstance(loaded, TorchModel) else load_torch_model(loaded.path)


def save_model(path: Path, model: HoiClip, heads: TrainedHeads, card: dict[str, Any], *, half: bool = False) -> str:
    """Write `path` (safetensors) and its card ``<stem>.card.json``; return the fingerprint of the weights.

    `half` stores matrices in half precision; scales, biases and statistics of batch norm stay single. Both files
    appear complete or not at all.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        tensors[name] = value.half() if half and value.is_floating_point() and value.ndim > 1 else value
    for item in fields(TrainedHeads):
        value = getattr(heads, item.name)
        tensor = torch.as_tensor(value, dtype=torch.float32)
        tensors[HEADS + item.name] = tensor
    tensors = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    fingerprint = _fingerprint(tensors)
    metadata = {
        "format": FORMAT,
        "config": json.dumps(model.config.to_dict()),
        "card": json.dumps(card),
        "fingerprint": fingerprint,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata)
    part.chmod(0o644)  # safetensors writes 0600, which a service under another user could not read
    part.replace(path)
    card_path = path.with_name(f"{path.stem}.card.json")
    card_path.write_text(json.dumps({**card, "fingerprint": fingerprint}, indent=2) + "\n", encoding="utf-8")
    return fingerprint


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def load_torch_model(path: Path | str) -> TorchModel:
    """Load a model with its module: a ``.safetensors`` file, a folder that holds ``model.safetensors``, or a bundle.

    Weights are memory-mapped and put into a module that never allocated its own. Raises InputError for anything that
    is not such a file, with what to do instead, and for missing or unexpected keys, naming them.
    """
    file = find_model_file(Path(path))
    stored = read_model_file(file)
    with safe_open(file, framework="pt") as weights:
        names = [name for name in weights.keys() if not name.startswith(HEADS)]  # noqa: SIM118  # not a dict
        tensors = {name: weights.get_tensor(name) for name in names}
    single = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    return TorchModel(
        config=stored.config,
        heads=stored.heads,
        vocabulary=load_builtin(stored.config.vocabulary),
        card=stored.card,
        path=file,
        fingerprint=stored.fingerprint,
        canvases=(Canvas(stored.config.shorter_side, stored.config.longer_side),),
        module=assemble(stored.config, single, str(file)),
    )


def assemble(config: ModelConfig, tensors: dict[str, Tensor], where: str = "weights") -> HoiClip:
    """Return a model in evaluation mode around float32 `tensors`, without ever allocating weights of its own.

    Raises InputError naming missing and unexpected keys; `where` begins the message.
    """
    with torch.device("meta"):
        model = HoiClip(config)
    expected = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    missing, unexpected = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
    if missing or unexpected:
        raise InputError(
            f"{where}: weights do not fit {config.name}: missing {missing[:5]}, unexpected {unexpected[:5]}"
        )
    for name, value in model.state_dict().items():
        if name in tensors and tensors[name].shape != value.shape:
            raise InputError(
                f"{where}: `{name}` has shape {list(tensors[name].shape)}, expected {list(value.shape)} "
                f"for {config.name}; convert the checkpoint again"
            )
    model.load_state_dict(tensors, strict=False, assign=True)
    for name in [name for name, buffer in model.named_buffers() if buffer.is_meta]:
        owner, _, leaf = name.rpartition(".")
        model.get_submodule(owner).register_buffer(leaf, _buffer(leaf, config), persistent=False)
    return model.eval().requires_grad_(False)


def _buffer(name: str, config: ModelConfig) -> Tensor:
    constants = {
        "_imagenet_mean": IMAGENET_MEAN,
        "_imagenet_std": IMAGENET_STD,
        "_clip_mean": CLIP_MEAN,
        "_clip_std": CLIP_STD,
    }
    if name in constants:
        return torch.tensor(constants[name]).view(3, 1, 1)
    if name == "attn_mask":  # the text tower's causal mask
        length = config.clip.context_length
        return torch.full((length, length), -math.inf).triu_(1)
    raise InputError(f"buffer {name!r} is not stored and not known; the model file is from another version")
