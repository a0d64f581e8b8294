"""What CLIP looks at while it learns: square views of drawn pictures, cut anew at each step."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hoiclip.normalisation import CLIP_MEAN, CLIP_STD
from hoiclip.training.crops import primary_interactions
from hoiclip.training.world.captions import Captions
from hoiclip.training.world.shards import Shards
from hoiclip.training.world.view_labels import Focus, Kind, Labeller, Labels, Targets
from hoiclip.vocabulary import Vocabulary

SHARES: dict[Kind, float] = {"pair": 0.5, "idle": 0.08, "object": 0.14, "frame": 0.28}  # of a batch
HIDDEN_OBJECT = 0.3  # share of pair views whose object is painted over: then the verb must be read from the pose


class ViewBatch(NamedTuple):
    """Views of a step. P patches a view."""

    step: int
    pixels: Tensor  # [N, 3, S, S] normalised
    targets: Targets  # of each view as a whole
    region_view: Tensor  # [R] the view of each annotated pair
    region_patches: Tensor  # [R, P] 0/1, inside the box around both
    region_targets: Targets
    patch_classes: Tensor  # [N, P, 1 + O] 0/1: person, objects
    patch_verbs: Tensor  # [N, P, A] 0/1, inside the box around a pair that does it


class Views:
    """All views that a set of drawn pictures offers; a step's batch depends on nothing but seed and step."""

    def __init__(
        self, shards: Shards, vocabulary: Vocabulary, captions: Captions, size: int, patch: int, batch: int, seed: int
    ) -> None:
        self._shards, self._size, self._seed = shards, size, seed
        self._num_patches = (size // patch) ** 2
        self._labeller = Labeller(vocabulary, captions, size // patch)
        items = self._items()
        self._items_of = {kind: items[kind] for kind in SHARES if items[kind]}
        total = sum(SHARES[kind] for kind in self._items_of)
        self._counts = {kind: max(1, round(batch * SHARES[kind] / total)) for kind in self._items_of}
        self._mean, self._std = (np.asarray(v, np.float32) * 255 for v in (CLIP_MEAN, CLIP_STD))

    def batch(self, step: int) -> ViewBatch:
        """Return the views of `step`."""
        rng = np.random.default_rng((self._seed, 11, step))
        cut = []
        for kind, count in self._counts.items():
            items = self._items_of[kind]
            cut += [self._cut(kind, items[int(i)], rng) for i in rng.integers(len(items), size=count)]
        labels = [view.labels for view in cut]
        regions = [(number, region) for number, one in enumerate(labels) for region in one.regions]
        no_regions = np.zeros((0, self._num_patches), np.float32)
        stacked = self._labeller.stacked
        return ViewBatch(
            step,
            torch.from_numpy(np.stack([view.pixels for view in cut])),
            stacked([one.target for one in labels]),
            torch.tensor([number for number, _ in regions], dtype=torch.int64),
            torch.from_numpy(np.stack([r.patches for _, r in regions]) if regions else no_regions),
            stacked([region.target for _, region in regions]),
            torch.from_numpy(np.stack([one.patch_classes for one in labels])),
            torch.from_numpy(np.stack([one.patch_verbs for one in labels])),
        )

    def _items(self) -> dict[Kind, list[Focus]]:
        items: dict[Kind, list[Focus]] = {"pair": [], "idle": [], "object": [], "frame": []}
        for index, annotation in enumerate(self._shards.annotations):
            boxes, notes = annotation["annotations"], annotation["hoi_annotation"]
            if boxes:
                items["frame"].append(Focus(index))
            acting = {note["subject_id"] for note in notes}
            for position in primary_interactions(annotation):
                note = notes[position]
                items["pair"].append(Focus(index, note["subject_id"], note["object_id"], note["hoi_category_id"] - 1))
            for number, box in enumerate(boxes):
                if self._labeller.is_object(box):
                    items["object"].append(Focus(index, obj=number))
                elif number not in acting and (near := self._nearest_object(boxes, number)) is not None:
                    items["idle"].append(Focus(index, number, near))
        return items

    def _nearest_object(self, boxes: list[dict[str, Any]], human: int) -> int | None:
        """Return the object nearest to a person, at most 0.6 of the person's height away."""
        x0, y0, x1, y1 = boxes[human]["bbox"]
        best, best_distance = None, 0.6 * (y1 - y0)
        for number, box in enumerate(boxes):
            if not self._labeller.is_object(box):
                continue
            a0, b0, a1, b1 = box["bbox"]
            distance = max(0.0, a0 - x1, x0 - a1) + max(0.0, b0 - y1, y0 - b1)
            if distance <= best_distance:
                best, best_distance = number, distance
        return best

    def _cut(self, kind: Kind, focus: Focus, rng: np.random.Generator) -> _Cut:
        annotation = self._shards.annotations[focus.picture]
        picture = self._shards.picture(focus.picture)
        boxes = np.array([a["bbox"] for a in annotation["annotations"]], np.float32).reshape(-1, 4)
        left, top, side = self._square(kind, focus, boxes, picture.shape[:2], rng)
        square = picture[top : top + side, left : left + side]
        hides = kind == "pair" and rng.random() < HIDDEN_OBJECT
        if hides:
            x0, y0, x1, y1 = np.clip(boxes[focus.obj] - (left, top, left, top), 0, side).astype(int)
            square = square.copy()
            square[y0:y1, x0:x1] = rng.integers(40, 216, 3)
        interpolation = cv2.INTER_AREA if side > self._size else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(square, (self._size, self._size), interpolation=interpolation), np.float32)
        seen = np.asarray((boxes - (left, top, left, top)) / side, np.float32)
        if rng.random() < 0.5:
            pixels, seen = pixels[:, ::-1], np.stack((1 - seen[:, 2], seen[:, 1], 1 - seen[:, 0], seen[:, 3]), 1)
        lit = pixels * rng.uniform(0.75, 1.25, 3) * rng.uniform(0.85, 1.15) + rng.uniform(-18, 18)
        normal = (np.clip(lit, 0, 255).astype(np.float32) - self._mean) / self._std
        labels = self._labeller.labels(kind, focus, annotation, seen, hides=hides)
        return _Cut(np.ascontiguousarray(normal.transpose(2, 0, 1)), labels)

    def _square(
        self, kind: Kind, focus: Focus, boxes: NDArray[np.float32], shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[int, int, int]:
        """Return left, top and side of the view in pixels, inside the picture."""
        height, width = shape[:2]
        most = min(height, width)
        if kind == "frame":
            side = most if rng.random() < 0.5 else int(rng.uniform(0.7, 1.0) * most)
            return int(rng.uniform(0, width - side + 1)), int(rng.uniform(0, height - side + 1)), side
        about = boxes[[focus.obj]] if kind == "object" else boxes[[focus.human, focus.obj]]
        (x0, y0), (x1, y1) = about[:, :2].min(0).tolist(), about[:, 2:].max(0).tolist()
        margin = rng.uniform(0.05, 0.5 if kind == "object" else 0.35)
        full = max(x1 - x0, y1 - y0)
        side = int(np.clip(full * (1 + 2 * margin), 12, most))
        shift = rng.uniform(-0.5, 0.5, 2) * margin * full
        left = int(np.clip((x0 + x1 - side) / 2 + shift[0], 0, width - side))
        return left, int(np.clip((y0 + y1 - side) / 2 + shift[1], 0, height - side)), side


class _Cut(NamedTuple):
    """One view."""

    pixels: NDArray[np.float32]
    labels: Labels
