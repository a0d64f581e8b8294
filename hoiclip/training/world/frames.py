"""Batches of drawn pictures with everything annotated on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hoiclip.training.data import Order
from hoiclip.training.matcher import PairTargets
from hoiclip.training.world.paste import UNKNOWN_PAIRS, with_pasted
from hoiclip.training.world.shards import Shards
from hoiclip.vocabulary import Vocabulary


class FrameBatch(NamedTuple):
    """Frames with everything annotated on them."""

    frames: Tensor  # [B, H, W, 3] uint8 RGB
    pairs: list[PairTargets]
    boxes: list[Tensor]  # [N, 4] cxcywh in [0, 1], people and objects
    labels: list[Tensor]  # [N] dense class: 0 person, object index + 1


class FrameTargets:
    """Annotations of one picture in HICO-DET's form, as tensors."""

    def __init__(self, vocabulary: Vocabulary, interactions: list[int] | None = None) -> None:
        self._columns = list(range(len(vocabulary.interactions))) if interactions is None else interactions
        self._object_of = {each.coco_id: index for index, each in enumerate(vocabulary.objects)}
        self._count = len(vocabulary.interactions)

    def pairs(self, annotation: dict[str, Any], flip: bool) -> PairTargets:
        """Return the pairs; labels of one (human, object) pair are joined into one row, unknown ones are -1."""
        boxes = self._boxes(annotation, flip)
        rows: dict[tuple[int, int], list[int]] = {}
        for hoi in annotation["hoi_annotation"]:
            rows.setdefault((hoi["subject_id"], hoi["object_id"]), []).append(hoi["hoi_category_id"] - 1)
        unknown = [pair for pair in annotation.get(UNKNOWN_PAIRS, ()) if pair not in rows]
        interactions = torch.zeros(len(rows) + len(unknown), self._count)
        for row, indices in enumerate(rows.values()):
            interactions[row, indices] = 1.0
        interactions[len(rows) :] = -1.0
        rows |= {pair: [] for pair in unknown}
        categories = [annotation["annotations"][item]["category_id"] for _, item in rows]
        return PairTargets(
            boxes[[human for human, _ in rows]].reshape(-1, 4),
            boxes[[item for _, item in rows]].reshape(-1, 4),
            torch.tensor([self._object_of[c] for c in categories], dtype=torch.int64),
            interactions[:, self._columns],
        )

    def dense(self, annotation: dict[str, Any], flip: bool) -> tuple[Tensor, Tensor]:
        """Return every box and its dense class."""
        labels = [self._object_of.get(a["category_id"], -1) + 1 for a in annotation["annotations"]]
        return self._boxes(annotation, flip), torch.tensor(labels, dtype=torch.int64)

    def _boxes(self, annotation: dict[str, Any], flip: bool) -> Tensor:
        height, width = annotation["height"], annotation["width"]
        xyxy = torch.tensor([a["bbox"] for a in annotation["annotations"]], dtype=torch.float32).reshape(-1, 4)
        xyxy = xyxy / torch.tensor([width, height, width, height], dtype=torch.float32)
        if flip:
            xyxy = torch.stack((1 - xyxy[:, 2], xyxy[:, 1], 1 - xyxy[:, 0], xyxy[:, 3]), dim=1)
        x0, y0, x1, y1 = xyxy.unbind(1)
        return torch.stack(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0), dim=1)


def frame_batch(shards: Shards, targets: FrameTargets, order: Order, step: int, pasted: float = 0.0) -> FrameBatch:
    """Return the batch of `step`, each picture mirrored with probability one half.

    A share `pasted` of the pictures gets an object more, see `hoiclip.training.world.paste`.
    """
    rng = np.random.default_rng((order.seed, 7, step))
    frames, pairs, boxes, labels = [], [], [], []
    for index in order.indices(step):
        flip = bool(rng.random() < 0.5)
        picture, annotation = shards.picture(index), shards.annotations[index]
        if rng.random() < pasted:
            picture, annotation = with_pasted(picture, annotation, rng)
        frames.append(torch.from_numpy(np.array(picture[:, ::-1] if flip else picture)))
        pairs.append(targets.pairs(annotation, flip))
        box, label = targets.dense(annotation, flip)
        boxes.append(box)
        labels.append(label)
    return FrameBatch(torch.stack(frames), pairs, boxes, labels)
