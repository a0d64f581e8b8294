"""Detector warm-up: dense supervision of backbone and encoder, so that the queries learn from useful features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoiclip.model import HoiClip
from hoiclip.position import sine_position
from hoiclip.training.losses import focal
from hoiclip.training.matcher import PairTargets


class DenseHead(nn.Module):
    """Predict at each memory cell which class has its centre there, its box, and what is done there; thrown away later.

    Source: CenterNet (Zhou et al., 2019), in its simplest form, with interactions as further labels of both boxes.
    """

    def __init__(self, d_model: int, num_classes: int, num_interactions: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(d_model, d_model)
        self.classes = nn.Linear(d_model, num_classes)
        self.boxes = nn.Linear(d_model, 4)
        self.interactions = nn.Linear(d_model, num_interactions)
        nn.init.constant_(self.classes.bias, -4.0)
        nn.init.constant_(self.interactions.bias, -3.0)

    def forward(self, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return class logits [B, cells, C], boxes cxcywh [B, cells, 4] in [0, 1], interaction logits [B, cells, K]."""
        x = F.relu(self.hidden(memory))
        return self.classes(x), self.boxes(x).sigmoid(), self.interactions(x)


def memory_of(model: HoiClip, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return the encoder's memory [B, h*w, d_model] and (h, w) for normalised images without padding."""
    projected = model.input_proj(model.backbone(image))
    height, width = projected.shape[-2:]
    grid = torch.zeros(1, height, width, dtype=torch.bool, device=image.device)
    position = sine_position(grid, model.config.d_model).to(projected.dtype)
    return model.encoder(projected.flatten(2).transpose(1, 2), position, None), (height, width)


def dense_loss(
    head: DenseHead,
    memory: Tensor,
    grid: tuple[int, int],
    boxes: list[Tensor],
    labels: list[Tensor],
    pairs: list[PairTargets],
) -> dict[str, Tensor]:
    """Return the dense losses for boxes cxcywh [N, 4] in [0, 1], class labels [N] and annotated pairs of each image."""
    logits, predicted, interactions = head(memory)
    target = torch.zeros(logits.shape, device=memory.device)
    image = torch.cat([torch.full((len(b),), i) for i, b in enumerate(boxes)])
    every, classes = torch.cat(boxes), torch.cat(labels)
    cell = _cells(every, grid)
    target[image, cell, classes] = 1.0
    box_loss = (predicted.float()[image, cell] - every).abs().sum() / max(len(every), 1)
    class_loss = focal(logits, target)
    owner = torch.cat([torch.full((len(p.object_labels),), i) for i, p in enumerate(pairs)])
    done = torch.cat([p.interactions for p in pairs])
    done_loss = torch.zeros(())
    for ends in (torch.cat([p.human_boxes for p in pairs]), torch.cat([p.object_boxes for p in pairs])):
        done_loss = done_loss + focal(interactions[owner, _cells(ends, grid)], done)
    return {
        "total": 2 * class_loss + 5 * box_loss + done_loss,
        "class": class_loss.detach(),
        "box": box_loss.detach(),
        "done": done_loss.detach(),
    }


def _cells(boxes: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the index of the cell that holds each box's centre."""
    height, width = grid
    column = (boxes[:, 0] * width).long().clamp(0, width - 1)
    row = (boxes[:, 1] * height).long().clamp(0, height - 1)
    return row * width + column
