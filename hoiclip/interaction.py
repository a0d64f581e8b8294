"""The fusion decoder: interaction queries read CLIP's tokens and the detector's memory through the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.config import ModelConfig
from hoiclip.transformer import Attention


class FusionLayer(nn.Module):
    """One layer of knowledge integration. Source: HOICLIP (Ning et al., CVPR 2023), section 3.2."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.clip.vision_width
        self.self_attn = Attention(width, config.fusion_heads)
        self.multihead_attn = Attention(width, config.fusion_heads)
        self.linear1, self.linear2 = nn.Linear(width, config.fusion_ffn_dim), nn.Linear(config.fusion_ffn_dim, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, eps=1e-5) for _ in range(3))

    def forward(self, x: Tensor, clip_tokens: Tensor, memory: Tensor) -> Tensor:
        """Return [B, Q, V] for queries [B, Q, V]; no positions and no padding mask, as published."""
        x = self.norm1(x + self.self_attn(x, x, x))
        from_clip = self.norm2(x + self.multihead_attn(x, clip_tokens, clip_tokens))
        from_detector = self.norm2(x + self.multihead_attn(x, memory, memory))
        y = from_clip + from_detector
        out: Tensor = self.norm3(y + self.linear2(F.relu(self.linear1(y))))
        return out


class InteractionDecoder(nn.Module):
    """Fusion layers with one shared norm on every layer's output."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.clip.vision_width
        self.query_projection = nn.Linear(config.d_model, width)
        self.query_norm = nn.LayerNorm(width, eps=1e-5)
        self.memory_projection = nn.Linear(config.d_model, width)
        self.memory_norm = nn.LayerNorm(width, eps=1e-5)
        self.layers = nn.ModuleList(FusionLayer(config) for _ in range(config.fusion_layers))
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, humans: Tensor, objects: Tensor, clip_tokens: Tensor, memory: Tensor) -> Tensor:
        """Return [layers, B, Q, V] for the last layer's queries [B, Q, d_model] and memory [B, h*w, d_model]."""
        x = self.query_norm(self.query_projection((humans + objects) / 2))
        values = self.memory_norm(self.memory_projection(memory))
        outputs = []
        for layer in self.layers:
            x = layer(x, clip_tokens, values)
            outputs.append(self.norm(x))
        return torch.stack(outputs)
