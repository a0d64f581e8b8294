"""HOICLIP: a DETR-style detector whose interaction queries read CLIP's visual tokens.

Source: Ning et al., "HOICLIP: Efficient Knowledge Transfer for HOI Detection with Vision-Language Models", CVPR 2023.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.backbone import Backbone
from hoiclip.clip_tower import ClipTowers
from hoiclip.config import ModelConfig
from hoiclip.interaction import InteractionDecoder
from hoiclip.normalisation import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from hoiclip.position import full_position, sine_position
from hoiclip.resample import clip_crop
from hoiclip.transformer import Encoder, InstanceDecoder
from hoiclip.types import Outputs


class Mlp(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., first width] to [..., last width]."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        y: Tensor = self.layers[-1](x)
        return y


class ObjectHead(nn.Module):
    """Classify object queries by scaled cosine similarity to frozen text embeddings, plus a bias a class."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        embed = config.clip.embed_dim
        self.projection = nn.Linear(config.d_model, embed)
        self.norm = nn.LayerNorm(embed, eps=1e-5)
        self.classifier = nn.Linear(embed, config.num_objects + 1)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, objects: Tensor) -> Tensor:
        """Return logits [..., O + 1] for queries [..., d_model]; the last class is "no object"."""
        unit = F.normalize(self.norm(self.projection(objects)), dim=-1)
        logits: Tensor = self.logit_scale.exp() * self.classifier(unit)
        return logits


class Features(NamedTuple):
    """Everything between pixels and heads; also where parity looks for a fault."""

    projected: Tensor  # [B, d_model, h, w] after `input_proj`
    memory: Tensor  # [B, h*w, d_model]
    humans: Tensor  # [L, B, Q, d_model]
    objects: Tensor  # [L, B, Q, d_model]
    interactions: Tensor  # [fusion layers, B, Q, V], normalised
    clip_tokens: Tensor  # [B, 1 + patches, V]
    clip_embedding: Tensor  # [B, E] of any norm


class HoiClip(nn.Module):
    """Boxes, object logits and embeddings from pixels; the text classifiers of interactions and verbs are outside.

    `logit_scale` belongs to the interaction classifiers and is here only to be trained and stored.
    """

    _imagenet_mean: Tensor
    _imagenet_std: Tensor
    _clip_mean: Tensor
    _clip_std: Tensor

    def __init__(self, config: ModelConfig, *, frozen_batch_norm: bool = True) -> None:
        super().__init__()
        self.config = config
        d, embed, q = config.d_model, config.clip.embed_dim, config.num_queries
        self.backbone = Backbone(config, frozen_batch_norm=frozen_batch_norm)
        self.input_proj = nn.Conv2d(self.backbone.num_channels, d, 1)
        self.encoder = Encoder(config)
        self.human_queries, self.object_queries, self.pair_queries = (nn.Embedding(q, d) for _ in range(3))
        self.instance_decoder = InstanceDecoder(config)
        self.human_box_head, self.object_box_head = Mlp(d, d, d, 4), Mlp(d, d, d, 4)
        self.object_head = ObjectHead(config)
        self.interaction_decoder = InteractionDecoder(config)
        self.verb_adapter = Mlp(embed, embed // 2, embed // 2, embed)
        self.clip = ClipTowers(config.clip)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        for name, mean, std in (("imagenet", IMAGENET_MEAN, IMAGENET_STD), ("clip", CLIP_MEAN, CLIP_STD)):
            self.register_buffer(f"_{name}_mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
            self.register_buffer(f"_{name}_std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Outputs[Tensor]:
        """Return the outputs for RGB frames uint8 [B, H, W, 3] that are already at canvas size.

        This is the graph that engines compile: both normalisations and the CLIP crop are inside, H and W are constants,
        nothing is padded.
        """
        return self.forward_preprocessed(*self.prepare(frames))

    def prepare(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normalised images [B, 3, H, W] and CLIP crops [B, 3, S, S] of uint8 frames [B, H, W, 3]."""
        pixels = frames.to(torch.float32).permute(0, 3, 1, 2)  # [B,3,H,W] in 0..255; TensorRT moves no uint8
        crop = clip_crop(pixels, self.config.clip.image_size)
        image = (pixels / 255.0 - self._imagenet_mean) / self._imagenet_std
        return image, (crop / 255.0 - self._clip_mean) / self._clip_std

    def forward_preprocessed(self, image: Tensor, clip_image: Tensor, mask: Tensor | None = None) -> Outputs[Tensor]:
        """Return the outputs for normalised images [B, 3, H, W] and CLIP crops [B, 3, S, S].

        `mask` [B, H, W] is true on padding; boxes are then relative to the padded frame.
        """
        features = self.features(image, clip_image, mask)
        return self.heads(features, last_only=True)

    def forward_training(self, image: Tensor, clip_image: Tensor, mask: Tensor | None = None) -> Outputs[Tensor]:
        """Return the outputs of every layer, with a leading layer axis on all but the CLIP embedding.

        Boxes and object logits have one entry a decoder layer, embeddings one a fusion layer; the last is inference's.
        """
        return self.heads(self.features(image, clip_image, mask), last_only=False)

    def features(self, image: Tensor, clip_image: Tensor, mask: Tensor | None = None) -> Features:
        """Run everything before the heads; arguments as `forward_preprocessed`."""
        projected = self.input_proj(self.backbone(image))  # [B,D,h,w]
        batch, _, height, width = projected.shape
        if mask is None:
            padding = None
            position = full_position(height, width, self.config.d_model, projected.device).to(projected.dtype)
        else:
            grid = F.interpolate(mask[:, None].to(torch.float32), size=(height, width), mode="nearest")[:, 0] > 0.5
            padding = grid.flatten(1)
            position = sine_position(grid, self.config.d_model).to(projected.dtype)  # [B,h*w,D]
        memory = self.encoder(projected.flatten(2).transpose(1, 2), position, padding)
        instances = self.instance_decoder(self.queries(batch), memory, position, padding)
        clip_tokens, clip_embedding = self.clip.image_tokens(clip_image)
        interactions = self.interaction_decoder(instances.humans[-1], instances.objects[-1], clip_tokens, memory)
        return Features(
            projected, memory, instances.humans, instances.objects, interactions, clip_tokens, clip_embedding
        )

    def queries(self, batch: int) -> Tensor:
        """Return the query positions [batch, 2Q, d_model], humans first."""
        pairs = self.pair_queries.weight
        queries = torch.cat((self.human_queries.weight + pairs, self.object_queries.weight + pairs))
        return queries[None].expand(batch, -1, -1)

    def heads(self, features: Features, *, last_only: bool) -> Outputs[Tensor]:
        """Return the outputs of the last layer, or of every layer with a leading layer axis."""
        humans, objects, interactions = features.humans, features.objects, features.interactions
        if last_only:
            humans, objects, interactions = humans[-1], objects[-1], interactions[-1]
        embeddings = interactions @ self.clip.visual.proj  # [...,Q,E]
        return Outputs(
            human_boxes=self.human_box_head(humans).sigmoid(),
            object_boxes=self.object_box_head(objects).sigmoid(),
            object_logits=self.object_head(objects),
            interaction_embeddings=F.normalize(embeddings, dim=-1),
            verb_embeddings=F.normalize(self.verb_adapter(embeddings), dim=-1),
            clip_embedding=F.normalize(features.clip_embedding, dim=-1),
        )
