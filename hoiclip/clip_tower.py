"""Both CLIP towers through open_clip, in OpenAI's ViT layout with QuickGELU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor
from torch.nn import functional as F

from hoiclip.config import ClipConfig


class ImageTokens(NamedTuple):
    """What the image tower gives for one crop."""

    tokens: Tensor  # [B, 1 + patches, vision width], after ln_post, class token first
    embedding: Tensor  # [B, E], the projected class token, of any norm


class ClipTowers(CLIP):  # type: ignore[misc]  # open_clip is untyped
    """open_clip's CLIP, whose image tower also hands out every token after `ln_post`."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__(
            config.embed_dim,
            CLIPVisionCfg(
                layers=config.vision_layers,
                width=config.vision_width,
                head_width=config.vision_width // config.vision_heads,
                patch_size=config.patch_size,
                image_size=config.image_size,
            ),
            CLIPTextCfg(
                context_length=config.context_length,
                vocab_size=config.vocab_size,
                width=config.text_width,
                heads=config.text_heads,
                layers=config.text_layers,
            ),
            quick_gelu=True,
        )

    def image_tokens(self, crop: Tensor) -> ImageTokens:
        """Return every token and the embedding of a normalised crop [B, 3, S, S]."""
        tower = self.visual
        x = tower.conv1(crop).flatten(2).transpose(1, 2)  # [B,patches,V]
        first = tower.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)  # len() would fix the batch when exported
        x = torch.cat((first, x), dim=1) + tower.positional_embedding.to(x.dtype)
        tokens = tower.ln_post(tower.transformer(tower.ln_pre(x)))
        return ImageTokens(tokens, tokens[:, 0] @ tower.proj)


@torch.no_grad()  # not inference mode: training builds on these rows
def encode_texts(towers: CLIP, texts: Sequence[str], batch: int = 64) -> Tensor:
    """Return unit text embeddings [N, E] by the text tower."""
    from open_clip.tokenizer import SimpleTokenizer  # needs a second to load; only free text gets here

    tokens = SimpleTokenizer(context_length=towers.context_length)(list(texts))
    parts = [towers.encode_text(tokens[i : i + batch]).float() for i in range(0, len(tokens), batch)]
    return F.normalize(torch.cat(parts), dim=-1)
