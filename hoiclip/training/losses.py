"""The losses of HOICLIP on matched queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou_loss

from hoiclip.training.matcher import LayerOutputs, Matches, PairTargets


@dataclass(frozen=True)
class LossWeights:
    """Weights of the total loss; the same on every decoder layer."""

    interaction: float = 2.0
    object: float = 1.0
    box: float = 2.5
    giou: float = 1.0
    no_object: float = 0.1  # weight of the class "no object" inside the object loss


class Losses(NamedTuple):
    """Unweighted losses of one layer, scalars."""

    interaction: Tensor
    object: Tensor
    human_l1: Tensor
    object_l1: Tensor
    human_giou: Tensor
    object_giou: Tensor

    def total(self, weights: LossWeights) -> Tensor:
        """Return the weighted sum."""
        return (
            weights.interaction * self.interaction
            + weights.object * self.object
            + weights.box * (self.human_l1 + self.object_l1)
            + weights.giou * (self.human_giou + self.object_giou)
        )


class Totals(NamedTuple):
    """What the losses are divided by, known from the annotations alone.

    Sums over micro-batches and processes make accumulated and distributed steps equal one large batch.
    """

    pairs: float  # annotated pairs
    positives: float  # true interactions of them
    objects: float  # of them with an object box
    queries: float  # all queries, matched or not

    @classmethod
    def of(cls, targets: list[PairTargets], num_queries: int) -> Totals:
        """Count the targets of one batch."""
        return cls(
            float(sum(len(t.object_labels) for t in targets)),
            float(sum(t.interactions.clamp(min=0).sum() for t in targets)),
            float(sum(t.object_boxes.any(1).sum() for t in targets)),
            float(len(targets) * num_queries),
        )


def focal(logits: Tensor, labels: Tensor, alpha: float = 0.5, positives: float | None = None) -> Tensor:
    """Return CornerNet's focal loss (exponent 2) of logits and 0/1 labels, divided by the number of positives.

    Labels of -1 are left out. `positives` replaces the labels' own count.

    Probabilities are clamped to [1e-4, 1 - 1e-4]. Source: CornerNet (Law and Deng, ECCV 2018), equation 1.
    """
    p = logits.float().sigmoid().clamp(1e-4, 1 - 1e-4)
    true, false = (labels > 0).float(), (labels == 0).float()
    positive = (alpha * (1 - p) ** 2 * p.log() * true).sum()
    negative = ((1 - alpha) * p**2 * (1 - p).log() * false).sum()
    count = true.sum().clamp(min=1.0) if positives is None else max(positives, 1.0)
    return -(positive + negative) / count


def layer_losses(
    outputs: LayerOutputs,
    targets: list[PairTargets],
    matches: Matches,
    *,
    num_pairs: float,
    no_object: float = 0.1,
    totals: Totals | None = None,
) -> Losses:
    """Return the losses of one layer; `num_pairs` is the number of annotated pairs in the whole (distributed) batch.

    The other losses are divided by this batch's own counts, as published, unless `totals` gives those of all of it.
    """
    device = outputs.object_logits.device
    image = torch.cat([torch.full_like(q, i) for i, (q, _) in enumerate(matches)]).to(device)
    query = torch.cat([q for q, _ in matches]).to(device)
    matched = PairTargets(
        *(torch.cat([field[t.to(field.device)] for field, (_, t) in zip(fields, matches, strict=True)])
          for fields in zip(*targets, strict=True))
    )  # fmt: skip
    interaction_labels = torch.zeros_like(outputs.interaction_logits, dtype=torch.float32)
    interaction_labels[image, query] = matched.interactions.float()
    classes = outputs.object_logits.shape[-1]
    object_labels = torch.full(outputs.object_logits.shape[:2], classes - 1, dtype=torch.int64, device=device)
    object_labels[image, query] = matched.object_labels
    class_weights = torch.ones(classes, device=device)
    class_weights[-1] = no_object
    human, obj = outputs.human_boxes.float()[image, query], outputs.object_boxes.float()[image, query]
    exists = matched.object_boxes.any(1).float()
    existing = exists.sum() + 1e-4 if totals is None else totals.objects + 1e-4
    logits = outputs.object_logits.float().transpose(1, 2)
    if totals is None:
        positives, object_loss = None, F.cross_entropy(logits, object_labels, class_weights)
    else:
        positives = totals.positives
        weight = totals.pairs + no_object * (totals.queries - totals.pairs)
        object_loss = F.cross_entropy(logits, object_labels, class_weights, reduction="sum") / weight
    return Losses(
        interaction=focal(outputs.interaction_logits, interaction_labels, positives=positives),
        object=object_loss,
        human_l1=(human - matched.human_boxes).abs().sum() / num_pairs,
        object_l1=((obj - matched.object_boxes).abs().sum(1) * exists).sum() / existing,
        human_giou=_giou_loss(human, matched.human_boxes).sum() / num_pairs,
        object_giou=(_giou_loss(obj, matched.object_boxes) * exists).sum() / existing,
    )


def _giou_loss(a: Tensor, b: Tensor) -> Tensor:
    loss: Tensor = generalized_box_iou_loss(box_convert(a, "cxcywh", "xyxy"), box_convert(b, "cxcywh", "xyxy"), eps=0.0)
    return loss
