"""Batches for training: which pictures a step sees, as tensors, repeatable from the step alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from hoiclip.training.matcher import PairTargets
from hoiclip.training.shards import Shards
from hoiclip.vocabulary import Vocabulary

Item = TypeVar("Item")


class FrameBatch(NamedTuple):
    """Frames with everything annotated on them."""

    frames: Tensor  # [B, H, W, 3] uint8 RGB
    pairs: list[PairTargets]
    boxes: list[Tensor]  # [N, 4] cxcywh in [0, 1], people and objects
    labels: list[Tensor]  # [N] dense class: 0 person, object index + 1


@dataclass(frozen=True)
class Order:
    """Which pictures each step takes: a new permutation an epoch, all of it derived from seed and step."""

    count: int
    batch_size: int
    seed: int

    def indices(self, step: int) -> list[int]:
        """Return the picture indices of `step`."""
        per_epoch = self.count // self.batch_size
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return [int(i) for i in order[place * self.batch_size : (place + 1) * self.batch_size]]


class Targets:
    """Annotations of one picture in HICO-DET's form, as tensors."""

    def __init__(self, vocabulary: Vocabulary, interactions: list[int] | None = None) -> None:
        self._columns = list(range(len(vocabulary.interactions))) if interactions is None else interactions
        self._object_of = {thing.coco_id: index for index, thing in enumerate(vocabulary.objects)}
        self._count = len(vocabulary.interactions)

    def pairs(self, annotation: dict[str, Any], flip: bool) -> PairTargets:
        """Return the pairs; labels of one (human, object) pair are joined into one row."""
        boxes = self._boxes(annotation, flip)
        rows: dict[tuple[int, int], list[int]] = {}
        for hoi in annotation["hoi_annotation"]:
            rows.setdefault((hoi["subject_id"], hoi["object_id"]), []).append(hoi["hoi_category_id"] - 1)
        interactions = torch.zeros(len(rows), self._count)
        for row, indices in enumerate(rows.values()):
            interactions[row, indices] = 1.0
        categories = [annotation["annotations"][thing]["category_id"] for _, thing in rows]
        return PairTargets(
            boxes[[human for human, _ in rows]].reshape(-1, 4),
            boxes[[thing for _, thing in rows]].reshape(-1, 4),
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


def frame_batch(shards: Shards, targets: Targets, order: Order, step: int) -> FrameBatch:
    """Return the batch of `step`, each picture mirrored with probability one half."""
    rng = np.random.default_rng((order.seed, 7, step))
    frames, pairs, boxes, labels = [], [], [], []
    for index in order.indices(step):
        flip = bool(rng.random() < 0.5)
        picture = shards.picture(index)
        frames.append(torch.from_numpy(np.array(picture[:, ::-1] if flip else picture)))
        annotation = shards.annotations[index]
        pairs.append(targets.pairs(annotation, flip))
        box, label = targets.dense(annotation, flip)
        boxes.append(box)
        labels.append(label)
    return FrameBatch(torch.stack(frames), pairs, boxes, labels)


def prefetch(make: Callable[[int], Item], steps: range, ahead: int = 3) -> Iterator[tuple[int, Item]]:
    """Yield ``(step, make(step))`` in order, making the next ones in a thread; an error there is raised here."""
    ready: queue.Queue[tuple[int, Item] | BaseException | None] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def hand_over(item: tuple[int, Item] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in steps:
                if stopped.is_set():
                    return
                hand_over((step, make(step)))
            hand_over(None)
        except BaseException as error:
            hand_over(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
