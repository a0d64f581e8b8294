"""Hungarian matching of queries to annotated pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou


class PairTargets(NamedTuple):
    """The annotated pairs of one image; N may be zero."""

    human_boxes: Tensor  # [N, 4] cxcywh in [0, 1] of the (unpadded or padded) frame
    object_boxes: Tensor  # [N, 4] cxcywh; all zeros where the object has no box (V-COCO)
    object_labels: Tensor  # [N] int64
    interactions: Tensor  # [N, K] 0/1; -1 where nothing is known, which costs and teaches nothing


class LayerOutputs(NamedTuple):
    """What one decoder layer says, as the losses need it."""

    human_boxes: Tensor  # [B, Q, 4]
    object_boxes: Tensor  # [B, Q, 4]
    object_logits: Tensor  # [B, Q, O + 1]
    interaction_logits: Tensor  # [B, Q, K]


Matches = list[tuple[Tensor, Tensor]]  # an image: query indices, target indices


@dataclass(frozen=True)
class MatchWeights:
    """Weights of the matching cost."""

    interaction: float = 1.0
    box: float = 2.5
    giou: float = 1.0
    object: float = 1.0


@torch.no_grad()
def match(outputs: LayerOutputs, targets: list[PairTargets], weights: MatchWeights = MatchWeights()) -> Matches:
    """Return for each image the query of every target, by the least total cost.

    The interaction cost is minus half the sum of the mean probability on true interactions and the mean of one minus
    it on the others; box costs are the worse of human and object. Source: HOICLIP, section 3.4.
    """
    sizes = [len(target.object_labels) for target in targets]
    queries = outputs.object_logits.shape[1]
    if sum(sizes) == 0:
        empty = torch.empty(0, dtype=torch.int64)
        return [(empty, empty) for _ in targets]
    joined = PairTargets(*(torch.cat(parts) for parts in zip(*targets, strict=True)))
    labels = joined.interactions.float()
    score = outputs.interaction_logits.float().sigmoid().flatten(0, 1)  # [BQ,K]
    true, others = (labels > 0).float(), (labels == 0).float()
    positive = score @ (true / true.sum(1, keepdim=True).clamp(min=1e-4)).T
    negative = (1 - score) @ (others / others.sum(1, keepdim=True).clamp(min=1e-4)).T
    interaction = -(positive + negative) / 2
    objects = -outputs.object_logits.float().softmax(-1).flatten(0, 1)[:, joined.object_labels]
    exists = joined.object_boxes.any(1).float()
    predicted_human = outputs.human_boxes.float().flatten(0, 1)
    predicted_object = outputs.object_boxes.float().flatten(0, 1)
    human_l1 = torch.cdist(predicted_human, joined.human_boxes, p=1)
    object_l1 = torch.cdist(predicted_object, joined.object_boxes, p=1) * exists
    human_giou = -_giou(predicted_human, joined.human_boxes)
    object_giou = -_giou(predicted_object, joined.object_boxes) * exists + (exists - 1) * 2
    cost = (
        weights.interaction * interaction
        + weights.box * torch.maximum(human_l1, object_l1)
        + weights.giou * torch.maximum(human_giou, object_giou)
        + weights.object * objects
    )
    cost = cost.unflatten(0, (-1, queries)).cpu()
    matches = []
    for image, part in enumerate(cost.split(sizes, dim=2)):
        rows, columns = linear_sum_assignment(part[image].numpy())
        matches.append((torch.as_tensor(rows, dtype=torch.int64), torch.as_tensor(columns, dtype=torch.int64)))
    return matches


def _giou(a: Tensor, b: Tensor) -> Tensor:
    iou: Tensor = generalized_box_iou(box_convert(a, "cxcywh", "xyxy"), box_convert(b, "cxcywh", "xyxy"))
    return iou
