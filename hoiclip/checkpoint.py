"""Official HOICLIP and DETR checkpoints to our names: every key is placed, dropped by name, or refused."""

from __future__ import annotations

import argparse
import hashlib
import math
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hoiclip.classifier import TrainedHeads
from hoiclip.clip_tower import encode_texts
from hoiclip.config import ModelConfig, hoiclip_r50_hico, hoiclip_r50_vcoco
from hoiclip.errors import InputError
from hoiclip.model import HoiClip
from hoiclip.vocabulary import Vocabulary, load_builtin
from hoiclip.weights import assemble

_RENAMES: tuple[tuple[str, str], ...] = (  # official prefix, ours; the first that fits
    ("backbone.0.body.", "backbone."),
    ("transformer.encoder.", "encoder."),
    ("transformer.instance_decoder.", "instance_decoder."),
    ("transformer.clip_interaction_decoder.", "interaction_decoder."),
    ("transformer.queries2spacial_proj_norm.", "interaction_decoder.query_norm."),
    ("transformer.queries2spacial_proj.", "interaction_decoder.query_projection."),
    ("transformer.obj_class_fc.", "interaction_decoder.memory_projection."),
    ("transformer.obj_class_ln.", "interaction_decoder.memory_norm."),
    ("query_embed_h.", "human_queries."),
    ("query_embed_o.", "object_queries."),
    ("pos_guided_embedd.", "pair_queries."),
    ("hum_bbox_embed.", "human_box_head."),
    ("obj_bbox_embed.", "object_box_head."),
    ("inter2verb.", "verb_adapter."),
    ("input_proj.", "input_proj."),
    ("obj_class_fc.0.", "object_head.projection."),
    ("obj_class_fc.1.", "object_head.norm."),
    ("obj_visual_projection.", "object_head.classifier."),
    ("obj_logit_scale", "object_head.logit_scale"),
    ("logit_scale", "logit_scale"),
    ("clip_model.", "clip."),
)
_HEADS = frozenset(
    {
        "visual_projection.weight",
        "visual_projection.bias",
        "verb_projection.weight",
        "verb2hoi_proj",
        "verb2hoi_proj_eval",
        "eval_visual_projection.weight",
    }
)
# What `torch.load` raises for damaged files: its reader of old files checks little and trips over what it finds.
_DAMAGE = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    OSError,
    AssertionError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    struct.error,
)
_DEAD = re.compile(
    r"transformer\.interaction_decoder\.|hoi_class_fc\.|transformer\.inter_guided_embedd\.|.*\.norm4\.|.*\.dropout\."
    r"|.*num_batches_tracked$|clip_model\.(input_resolution|context_length|vocab_size)$"
)
_DETR_RENAMES: tuple[tuple[str, str], ...] = (
    ("backbone.0.body.", "backbone."),
    ("transformer.encoder.", "encoder."),
    ("transformer.decoder.", "instance_decoder."),
    ("input_proj.", "input_proj."),
    ("bbox_embed.", "human_box_head."),
)


@dataclass(frozen=True)
class Converted:
    """An official checkpoint in our terms."""

    config: ModelConfig
    variant: str  # such as "HICO-DET" or "V-COCO, zero-shot"
    weights: dict[str, Tensor]  # float32, by our names
    heads: TrainedHeads
    vocabulary: Vocabulary
    dropped: list[str]  # official keys that inference does not use


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a ``torch.save({"model": ...})`` file, without running any code in it.

    Raises InputError for a file that is truncated, holds code or no model.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; download an official HOICLIP checkpoint (.pth) and give its path")
    try:
        # Training scripts store their options beside the weights; a Namespace only holds attributes and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            data = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        reason = (
            "holds Python code, which is never run"
            if "Unsupported" in str(error) or "GLOBAL" in str(error)
            else "is damaged"
        )
        raise InputError(
            f"{path}: {reason}; expected a checkpoint of plain tensors, download it again from its authors"
        ) from error
    except _DAMAGE as error:
        raise InputError(f"{path}: cannot be read: truncated or not a PyTorch checkpoint; download it again") from error
    model = data.get("model", data) if isinstance(data, dict) else None
    if not isinstance(model, dict) or not model or not all(map(_is_weight, model.items())):
        raise InputError(
            f"{path}: holds no state dict; expected {{'model': {{name: tensor}}}} as HOICLIP's training saves it"
        )
    return {key.removeprefix("module."): value for key, value in model.items()}


def _is_weight(item: tuple[object, object]) -> bool:
    name, value = item
    return (
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_complex()
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert(official: Mapping[str, Tensor], where: str, *, vocabulary: str | None = None) -> Converted:
    """Return an official state dict in our terms; `where` names the file in errors.

    The variant is recognised from keys and shapes; a zero-shot checkpoint's ``eval_*`` classifiers replace the trained
    ones, as the published evaluation does. Raises InputError for a DETR checkpoint, a missing, unexpected or misshapen
    key, naming it.
    """
    if "visual_projection.weight" not in official:
        if "class_embed.weight" in official:
            raise InputError(f"{where}: a DETR checkpoint, not HOICLIP; for a detector initialisation use --detr")
        raise InputError(f"{where}: not a HOICLIP checkpoint: `visual_projection.weight` is missing")
    config, variant = _config(official, where, vocabulary)
    weights, dropped, unexpected = _rename(official, _RENAMES)
    unexpected = [key for key in unexpected if key not in _HEADS]
    _check(config, weights, unexpected, where)
    known = load_builtin(config.vocabulary)
    if len(known.interactions) != config.num_interactions or len(known.verbs) != config.num_verbs:
        raise InputError(
            f"{where}: {config.num_interactions} interactions and {config.num_verbs} verbs; "
            f"vocabulary {known.name} has {len(known.interactions)} and {len(known.verbs)}"
        )
    heads = _trained_heads(official, config, where)
    dropped += [key for key in official if key in _HEADS - set(_heads(official))]
    return Converted(config, variant, weights, heads, known, dropped)


def build(converted: Converted) -> tuple[HoiClip, TrainedHeads]:
    """Return the model and its trained heads, the latter with the prompts' embeddings by its own text tower."""
    model = assemble(converted.config, converted.weights)
    text = encode_texts(model.clip, [interaction.prompt for interaction in converted.vocabulary.interactions])
    return model, replace(converted.heads, text_embedding=text.numpy())


def convert_detr(official: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return what a DETR-R50 checkpoint gives a detector to begin training with: backbone, encoder, decoder, boxes.

    The first decoder layers initialise the instance decoder; both box heads start from DETR's one.
    """
    if "class_embed.weight" not in official or "transformer.decoder.norm.weight" not in official:
        raise InputError(f"{where}: not a DETR checkpoint: `class_embed.weight` or `transformer.decoder` is missing")
    weights, _, _ = _rename(official, _DETR_RENAMES)
    config = hoiclip_r50_hico()
    kept = {key: value for key, value in weights.items() if not _beyond(key, config.decoder_layers)}
    kept |= {
        key.replace("human_box_head", "object_box_head"): v.clone()  # safetensors refuses shared memory
        for key, v in kept.items()
        if key.startswith("human_box_head")
    }
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in HoiClip(config).state_dict().items()}
    wrong = sorted(key for key, value in kept.items() if expected.get(key) != tuple(value.shape))
    if wrong:
        raise InputError(
            f"{where}: not DETR-R50: {wrong[0]} has shape {list(kept[wrong[0]].shape)}, "
            f"expected {expected.get(wrong[0])}"
        )
    return kept


def _beyond(key: str, layers: int) -> bool:
    found = re.match(r"instance_decoder\.layers\.(\d+)\.", key)
    return found is not None and int(found.group(1)) >= layers


def _rename(
    official: Mapping[str, Tensor], renames: tuple[tuple[str, str], ...]
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    weights: dict[str, Tensor] = {}
    dropped: list[str] = []
    unexpected: list[str] = []
    for key, value in official.items():
        if _DEAD.match(key):
            dropped.append(key)
            continue
        for theirs, ours in renames:
            if key == theirs or (theirs.endswith(".") and key.startswith(theirs)):
                weights[ours + key[len(theirs) :]] = value.float()
                break
        else:
            unexpected.append(key)
    return weights, dropped, unexpected


def _config(official: Mapping[str, Tensor], where: str, vocabulary: str | None) -> tuple[ModelConfig, str]:
    zero_shot = "eval_visual_projection.weight" in official
    rows, *_ = _heads(official)
    interactions = len(_matrix(official, rows, where))
    verbs = len(_matrix(official, "verb_projection.weight", where))
    objects = len(_matrix(official, "obj_visual_projection.weight", where)) - 1
    base = next(
        (
            c
            for c in (hoiclip_r50_hico(), hoiclip_r50_vcoco())
            if (c.num_interactions, c.num_verbs) == (interactions, verbs)
        ),
        None,
    )
    if base is None and vocabulary is None:
        raise InputError(
            f"{where}: {interactions} interactions and {verbs} verbs fit neither HICO-DET (600, 117) "
            "nor V-COCO (263, 29)"
        )
    base = base or replace(hoiclip_r50_hico(), vocabulary=str(vocabulary))
    queries = _matrix(official, "query_embed_h.weight", where)
    config = replace(
        base,
        num_objects=objects,
        num_interactions=interactions,
        num_verbs=verbs,
        num_queries=len(queries),
        d_model=queries.shape[1],
        encoder_layers=_layers(official, "transformer.encoder.layers."),
        decoder_layers=_layers(official, "transformer.instance_decoder.layers."),
        fusion_layers=_layers(official, "transformer.clip_interaction_decoder.layers."),
    )
    name = {"hico": "HICO-DET", "vcoco": "V-COCO"}.get(config.vocabulary, config.vocabulary)
    return config, f"{name}, zero-shot" if zero_shot else name


def _layers(official: Mapping[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in official if key.startswith(prefix)})


def _need(official: Mapping[str, Tensor], key: str, where: str) -> Tensor:
    if key not in official:
        raise InputError(f"{where}: not a complete HOICLIP checkpoint: `{key}` is missing")
    return official[key]


def _matrix(official: Mapping[str, Tensor], key: str, where: str) -> Tensor:
    value = _need(official, key, where)
    if value.ndim != 2:
        raise InputError(f"{where}: `{key}` has shape {list(value.shape)}, expected two dimensions")
    return value


def _heads(official: Mapping[str, Tensor]) -> list[str]:
    """Return the keys that inference scores with: interactions, verb table, verbs and, unless zero-shot, the bias."""
    if "eval_visual_projection.weight" in official:
        return ["eval_visual_projection.weight", "verb2hoi_proj_eval", "verb_projection.weight"]
    return ["visual_projection.weight", "verb2hoi_proj", "verb_projection.weight", "visual_projection.bias"]


def _check(config: ModelConfig, weights: Mapping[str, Tensor], unexpected: list[str], where: str) -> None:
    with torch.device("meta"):
        expected = {
            k: tuple(v.shape) for k, v in HoiClip(config).state_dict().items() if not k.endswith("num_batches_tracked")
        }
    missing = sorted(set(expected) - set(weights))
    unexpected = sorted([*unexpected, *(set(weights) - set(expected))])
    if missing or unexpected:
        parts = [
            f"{kind} {', '.join(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected)) if keys
        ]
        raise InputError(f"{where}: keys do not fit {config.name}: {'; '.join(parts)}")
    for key, shape in expected.items():
        if tuple(weights[key].shape) != shape:
            raise InputError(f"{where}: `{key}` has shape {list(weights[key].shape)}, expected {list(shape)}")


def _logit_scale(value: Tensor, where: str) -> float:
    if value.numel() != 1 or not abs(logarithm := float(value)) < 100:
        raise InputError(f"{where}: `logit_scale` is {value.tolist()!r:.60}, expected the logarithm of a temperature")
    return math.exp(logarithm)


def _trained_heads(official: Mapping[str, Tensor], config: ModelConfig, where: str) -> TrainedHeads:
    interactions, verbs, embed = config.num_interactions, config.num_verbs, config.clip.embed_dim
    keys = _heads(official)
    shapes = ([interactions, embed], [verbs, interactions], [verbs, embed], [interactions])
    for key, shape in zip(keys, shapes, strict=False):  # a zero-shot checkpoint has no bias
        if list(_need(official, key, where).shape) != shape:
            raise InputError(f"{where}: `{key}` has shape {list(official[key].shape)}, expected {shape}")
    text, table, verb_text, *bias = (official[key].float() for key in keys)
    return TrainedHeads(
        interaction_text=text.numpy(),
        interaction_bias=bias[0].numpy() if bias else np.zeros(interactions, np.float32),
        verb_text=verb_text.numpy(),
        verb_to_interaction=table.numpy(),
        logit_scale=_logit_scale(_need(official, "logit_scale", where), where),
        verb_weight=config.verb_weight,
        text_embedding=np.zeros((interactions, embed), np.float32),
    )
