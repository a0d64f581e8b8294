"""Sizes of the model: frozen, hashable, and enough to build it without weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class ClipConfig:
    """Both CLIP towers, in open_clip's terms; the default is OpenAI's ViT-B/32 (QuickGELU)."""

    image_size: int = 224
    patch_size: int = 32
    vision_width: int = 768
    vision_layers: int = 12
    vision_heads: int = 12
    embed_dim: int = 512
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    context_length: int = 77
    vocab_size: int = 49408


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape of every weight except the data set's classes.

    The classes (`num_objects`, `num_interactions`, `num_verbs`) fix the object classifier, which is inside the graph,
    and the trained interaction and verb classifiers, which are outside it.
    """

    name: str
    num_objects: int  # O, without "no object"
    num_interactions: int  # K
    num_verbs: int  # A
    verb_weight: float  # lambda: the share of the verb classifier in an interaction logit
    vocabulary: str  # name of the built-in vocabulary: "hico", "vcoco" or "world"
    backbone_block: Literal["bottleneck", "basic"] = "bottleneck"
    backbone_layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    backbone_width: int = (
        64  # channels of the stem; the stages have 1, 2, 4 and 8 times as many (times 4 if bottleneck)
    )
    stride: Literal[16, 32] = 32  # 16 keeps layer4 at layer3's resolution
    d_model: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 3
    fusion_layers: int = 3
    fusion_heads: int = 8
    fusion_ffn_dim: int = 2048
    num_queries: int = 64
    clip: ClipConfig = field(default_factory=ClipConfig)
    shorter_side: int = 800  # evaluation size of pictures, in pixels
    longer_side: int = 1333

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild from `to_dict`. Raises TypeError for unknown or missing keys."""
        values = dict(values)
        values["clip"] = ClipConfig(**values.get("clip", {}))
        if "backbone_layers" in values:
            values["backbone_layers"] = tuple(values["backbone_layers"])
        return cls(**values)


def hoiclip_r50_hico() -> ModelConfig:
    """The published HICO-DET model: 80 objects, 117 verbs, 600 interactions."""
    return ModelConfig("hoiclip_r50_hico", 80, 600, 117, verb_weight=0.5, vocabulary="hico")


def hoiclip_r50_vcoco() -> ModelConfig:
    """The published V-COCO model: 81 objects (the last is "only a person"), 29 verbs, 263 interactions."""
    return ModelConfig("hoiclip_r50_vcoco", 81, 263, 29, verb_weight=0.1, vocabulary="vcoco")


def tiny(num_objects: int = 14, num_interactions: int = 30, num_verbs: int = 12) -> ModelConfig:
    """The demonstration model's layout, for the synthetic world; also what tests build in milliseconds."""
    return ModelConfig(
        "tiny",
        num_objects,
        num_interactions,
        num_verbs,
        verb_weight=0.5,
        vocabulary="world",
        backbone_block="basic",
        backbone_layers=(2, 2, 2, 1),
        backbone_width=24,
        stride=16,
        d_model=128,
        num_heads=4,
        ffn_dim=256,
        encoder_layers=2,
        decoder_layers=3,
        fusion_layers=2,
        fusion_heads=4,
        fusion_ffn_dim=256,
        num_queries=24,
        clip=ClipConfig(
            image_size=128,
            patch_size=16,
            vision_width=128,
            vision_layers=3,
            vision_heads=4,
            embed_dim=128,
            text_width=64,
            text_layers=3,
            text_heads=4,
        ),
        shorter_side=256,
        longer_side=448,
    )
