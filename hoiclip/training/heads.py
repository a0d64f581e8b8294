"""The heads that are trained outside the graph, and a model together with them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hoiclip.classifier import TrainedHeads
from hoiclip.clip_tower import encode_texts
from hoiclip.model import HoiClip
from hoiclip.vocabulary import Vocabulary


class LearnedHeads(nn.Module):
    """Interaction bias and verb rows, which are trained, and the interactions' text rows, which stay frozen."""

    text: Tensor
    verb_to_interaction: Tensor

    def __init__(self, text: Tensor, verbs: Tensor, verb_to_interaction: Tensor, verb_weight: float) -> None:
        super().__init__()
        self.register_buffer("text", text)  # [K, E] unit rows
        self.register_buffer("verb_to_interaction", verb_to_interaction)  # [A, K] 0/1
        self.verbs = nn.Parameter(verbs.clone())  # [A, E]
        self.bias = nn.Parameter(torch.full((len(text),), -0.35))
        self.verb_weight = verb_weight

    def forward(self, interaction: Tensor, verb: Tensor, scale: Tensor) -> Tensor:
        """Return interaction logits [..., K] of unit embeddings [..., E]."""
        direct = interaction @ self.text.T + self.bias
        through_verb = (verb @ self.verbs.T) @ self.verb_to_interaction
        logits: Tensor = scale * (direct + self.verb_weight * through_verb)
        return logits


class Trained(NamedTuple):
    """What training leaves."""

    model: HoiClip  # batch norm in evaluation mode
    heads: LearnedHeads


@torch.no_grad()
def new_heads(model: HoiClip, vocabulary: Vocabulary, verbs: Tensor) -> LearnedHeads:
    """Return heads with the prompts' text rows and the verb rows [A, E]; the model's object rows are set likewise."""
    prompts = [each.prompt for each in vocabulary.objects] + [vocabulary.no_object_prompt]
    model.object_head.classifier.weight.copy_(encode_texts(model.clip, prompts))
    text = encode_texts(model.clip, [interaction.prompt for interaction in vocabulary.interactions])
    table = torch.zeros(len(vocabulary.verbs), len(vocabulary.interactions))
    for index, interaction in enumerate(vocabulary.interactions):
        table[interaction.verb, index] = 1.0
    return LearnedHeads(text, verbs, table, model.config.verb_weight)


@torch.no_grad()
def known_heads(stored: TrainedHeads) -> LearnedHeads:
    """Return a stored model's heads, to train on."""
    text, verbs, table = (
        torch.from_numpy(rows.copy())
        for rows in (stored.interaction_text, stored.verb_text, stored.verb_to_interaction)
    )
    heads = LearnedHeads(text, verbs, table, stored.verb_weight)
    heads.bias.copy_(torch.from_numpy(stored.interaction_bias))
    return heads


def stored_heads(trained: Trained, vocabulary: Vocabulary, unseen: set[int]) -> TrainedHeads:
    """Return the trained heads as they are stored; `unseen` interactions get the mean bias of the seen ones."""
    heads = trained.heads
    bias = heads.bias.detach().clone()
    bias[sorted(unseen)] = bias[[index for index in range(len(bias)) if index not in unseen]].mean()
    text = encode_texts(trained.model.clip, [interaction.prompt for interaction in vocabulary.interactions])
    return TrainedHeads(
        interaction_text=heads.text.numpy(),
        interaction_bias=bias.numpy(),
        verb_text=heads.verbs.detach().numpy(),
        verb_to_interaction=heads.verb_to_interaction.numpy(),
        logit_scale=float(trained.model.logit_scale.detach().exp()),
        verb_weight=heads.verb_weight,
        text_embedding=text.numpy(),
    )
