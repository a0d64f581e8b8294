"""Attention, the encoder and the instance decoder of the detector; batch first throughout."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.config import ModelConfig


class Attention(nn.Module):
    """Multi-head attention with the parameter layout of `nn.MultiheadAttention`, as plain matrix products.

    Plain products export to every runtime, whose own passes fuse them; `F.scaled_dot_product_attention` is used by
    eager torch for the same arithmetic.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return [B, N, width] for queries [B, N, width] over keys and values [B, M, width].

        `padding` [B, M] is true on keys to ignore. A row with every key padded attends to nothing and gives zeros
        before the output projection, never NaN.
        """
        width = query.shape[-1]
        w_q, w_k, w_v = self.in_proj_weight.split(width)
        b_q, b_k, b_v = self.in_proj_bias.split(width)
        q = self._split(F.linear(query, w_q, b_q))  # [B,heads,N,head_dim]
        k = self._split(F.linear(key, w_k, b_k))
        v = self._split(F.linear(value, w_v, b_v))
        if padding is None:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            blocked = padding[:, None, None, :]
            scores = (q @ k.transpose(-2, -1)) / math.sqrt(width // self.heads)
            weights = scores.masked_fill(blocked, float("-inf")).softmax(-1)
            mixed = weights.masked_fill(blocked, 0.0) @ v
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return split


class EncoderLayer(nn.Module):
    """Post-norm self-attention and feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.self_attn = Attention(d, config.num_heads)
        self.linear1, self.linear2 = nn.Linear(d, config.ffn_dim), nn.Linear(config.ffn_dim, d)
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-5), nn.LayerNorm(d, eps=1e-5)

    def forward(self, x: Tensor, position: Tensor, padding: Tensor | None) -> Tensor:
        """Return [B, h*w, d_model]."""
        located = x + position
        x = self.norm1(x + self.self_attn(located, located, x, padding))
        y: Tensor = self.norm2(x + self.linear2(F.relu(self.linear1(x))))
        return y


class DecoderLayer(nn.Module):
    """Post-norm self-attention, cross-attention and feed-forward over queries."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.self_attn, self.multihead_attn = Attention(d, config.num_heads), Attention(d, config.num_heads)
        self.linear1, self.linear2 = nn.Linear(d, config.ffn_dim), nn.Linear(config.ffn_dim, d)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d, eps=1e-5) for _ in range(3))

    def forward(self, x: Tensor, query_position: Tensor, memory: Tensor, key: Tensor, padding: Tensor | None) -> Tensor:
        """Return [B, 2Q, d_model]; `key` is memory plus its position."""
        located = x + query_position
        x = self.norm1(x + self.self_attn(located, located, x))
        x = self.norm2(x + self.multihead_attn(x + query_position, key, memory, padding))
        y: Tensor = self.norm3(x + self.linear2(F.relu(self.linear1(x))))
        return y


class Encoder(nn.Module):
    """A stack of encoder layers without a final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(self, x: Tensor, position: Tensor, padding: Tensor | None) -> Tensor:
        """Return the memory [B, h*w, d_model]."""
        for layer in self.layers:
            x = layer(x, position, padding)
        return x


class Instances(NamedTuple):
    """Decoded queries of every layer."""

    humans: Tensor  # [L, B, Q, d_model]
    objects: Tensor  # [L, B, Q, d_model]


class InstanceDecoder(nn.Module):
    """Decode 2Q queries together, humans first; one norm is shared by every layer's output."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model, eps=1e-5)

    def forward(self, query_position: Tensor, memory: Tensor, position: Tensor, padding: Tensor | None) -> Instances:
        """Decode query positions [B, 2Q, d_model] against memory [B, h*w, d_model]; the content starts at zero."""
        key = memory + position
        x = torch.zeros_like(query_position)
        outputs = []
        for layer in self.layers:
            x = layer(x, query_position, memory, key, padding)
            outputs.append(self.norm(x))
        stacked = torch.stack(outputs)
        humans, objects = stacked.chunk(2, dim=2)
        return Instances(humans, objects)
