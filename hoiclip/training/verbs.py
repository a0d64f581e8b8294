"""Verb classifiers by visual semantic arithmetic: what a person and an object show together, less the object alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hoiclip.vocabulary import Vocabulary


def verb_classifier(union: Tensor, alone: Tensor, interaction: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return unit verb rows [A, E] from CLIP embeddings of union crops and object crops [N, E] of N labelled pairs.

    For each interaction: normalise(sum of union embeddings) - normalise(sum of object embeddings); a verb is the
    normalised mean over its interactions, and zeros where none was seen. Source: HOICLIP, section 3.3.
    """
    embed = union.shape[1]
    sums = torch.zeros(len(vocabulary.verbs), embed)
    for index in sorted(set(interaction.tolist())):
        members = interaction == index
        together = F.normalize(F.normalize(union[members], dim=-1).sum(0), dim=0)
        obj = F.normalize(F.normalize(alone[members], dim=-1).sum(0), dim=0)
        sums[vocabulary.interactions[index].verb] += together - obj
    return F.normalize(sums, dim=-1)
