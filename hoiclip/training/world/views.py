"""What CLIP looks at while it learns: square views of drawn pictures and everything annotated in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hoiclip.normalisation import CLIP_MEAN, CLIP_STD
from hoiclip.training.crops import primary_interactions
from hoiclip.training.world.captions import Captions, Pair
from hoiclip.training.world.shards import Shards
from hoiclip.vocabulary import Vocabulary

Kind = Literal["pair", "idle", "object", "frame"]
SHARES: dict[Kind, float] = {"pair": 0.5, "idle": 0.08, "object": 0.14, "frame": 0.28}  # of a batch
MAIN_SHARE = 0.7  # of a pair's target that what the person mainly does gets; what it includes shares the rest
HIDDEN_OBJECT = 0.3  # share of pair views whose object is painted over: then the verb must be read from the pose
MIN_INSIDE = 0.5  # of a box that a view must show


class Targets(NamedTuple):
    """What N views or regions show: soft targets, rows of zeros where a question has no answer."""

    pairs: Tensor  # [N, C] over `Captions.pairs`
    verbs: Tensor  # [N, A + 1]
    objects: Tensor  # [N, O]


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


@dataclass(frozen=True)
class _Item:
    """A view to be cut: the picture and which of its annotations it is about."""

    picture: int
    human: int = -1
    obj: int = -1
    main: int = -1  # index of the interaction


class Views:
    """All views that a set of drawn pictures offers; a step's batch depends on nothing but seed and step."""

    def __init__(
        self, shards: Shards, vocabulary: Vocabulary, captions: Captions, size: int, patch: int, batch: int, seed: int
    ) -> None:
        self._shards, self._vocabulary, self._captions = shards, vocabulary, captions
        self._size, self._grid, self._seed = size, size // patch, seed
        self._pair_column = {pair: column for column, pair in enumerate(captions.pairs)}
        self._object_of = {each.coco_id: index for index, each in enumerate(vocabulary.objects)}
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
        regions = [(number, region) for number, view in enumerate(cut) for region in view.regions]
        patches = self._grid * self._grid
        no_regions = np.zeros((0, patches), np.float32)
        return ViewBatch(
            step,
            torch.from_numpy(np.stack([view.pixels for view in cut])),
            self._stack([view.target for view in cut]),
            torch.tensor([number for number, _ in regions], dtype=torch.int64),
            torch.from_numpy(np.stack([r.patches for _, r in regions]) if regions else no_regions),
            self._stack([region.target for _, region in regions]),
            torch.from_numpy(np.stack([view.patch_classes for view in cut])),
            torch.from_numpy(np.stack([view.patch_verbs for view in cut])),
        )

    def _items(self) -> dict[Kind, list[_Item]]:
        items: dict[Kind, list[_Item]] = {"pair": [], "idle": [], "object": [], "frame": []}
        for index, annotation in enumerate(self._shards.annotations):
            boxes, notes = annotation["annotations"], annotation["hoi_annotation"]
            if boxes:
                items["frame"].append(_Item(index))
            acting = {note["subject_id"] for note in notes}
            for position in primary_interactions(annotation):
                note = notes[position]
                items["pair"].append(_Item(index, note["subject_id"], note["object_id"], note["hoi_category_id"] - 1))
            for number, box in enumerate(boxes):
                if box["category_id"] in self._object_of:
                    items["object"].append(_Item(index, obj=number))
                elif number not in acting and (near := self._nearest_object(boxes, number)) is not None:
                    items["idle"].append(_Item(index, number, near))
        return items

    def _nearest_object(self, boxes: list[dict[str, Any]], human: int) -> int | None:
        """Return the object nearest to a person, at most 0.6 of the person's height away."""
        x0, y0, x1, y1 = boxes[human]["bbox"]
        best, best_distance = None, 0.6 * (y1 - y0)
        for number, box in enumerate(boxes):
            if box["category_id"] not in self._object_of:
                continue
            a0, b0, a1, b1 = box["bbox"]
            distance = max(0.0, a0 - x1, x0 - a1) + max(0.0, b0 - y1, y0 - b1)
            if distance <= best_distance:
                best, best_distance = number, distance
        return best

    def _cut(self, kind: Kind, item: _Item, rng: np.random.Generator) -> _Cut:
        annotation = self._shards.annotations[item.picture]
        picture = self._shards.picture(item.picture)
        boxes = np.array([a["bbox"] for a in annotation["annotations"]], np.float32).reshape(-1, 4)
        left, top, side = self._square(kind, item, boxes, picture.shape[:2], rng)
        square = picture[top : top + side, left : left + side]
        hides = kind == "pair" and rng.random() < HIDDEN_OBJECT
        if hides:
            x0, y0, x1, y1 = np.clip(boxes[item.obj] - (left, top, left, top), 0, side).astype(int)
            square = square.copy()
            square[y0:y1, x0:x1] = rng.integers(40, 216, 3)
        interpolation = cv2.INTER_AREA if side > self._size else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(square, (self._size, self._size), interpolation=interpolation), np.float32)
        seen = np.asarray((boxes - (left, top, left, top)) / side, np.float32)
        if rng.random() < 0.5:
            pixels, seen = pixels[:, ::-1], np.stack((1 - seen[:, 2], seen[:, 1], 1 - seen[:, 0], seen[:, 3]), 1)
        lit = pixels * rng.uniform(0.75, 1.25, 3) * rng.uniform(0.85, 1.15) + rng.uniform(-18, 18)
        normal = (np.clip(lit, 0, 255).astype(np.float32) - self._mean) / self._std
        return self._labelled(kind, item, annotation, np.ascontiguousarray(normal.transpose(2, 0, 1)), seen, hides)

    def _square(
        self, kind: Kind, item: _Item, boxes: NDArray[np.float32], shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[int, int, int]:
        """Return left, top and side of the view in pixels, inside the picture."""
        height, width = shape[:2]
        most = min(height, width)
        if kind == "frame":
            side = most if rng.random() < 0.5 else int(rng.uniform(0.7, 1.0) * most)
            return int(rng.uniform(0, width - side + 1)), int(rng.uniform(0, height - side + 1)), side
        about = boxes[[item.obj]] if kind == "object" else boxes[[item.human, item.obj]]
        (x0, y0), (x1, y1) = about[:, :2].min(0).tolist(), about[:, 2:].max(0).tolist()
        margin = rng.uniform(0.05, 0.5 if kind == "object" else 0.35)
        full = max(x1 - x0, y1 - y0)
        side = int(np.clip(full * (1 + 2 * margin), 12, most))
        shift = rng.uniform(-0.5, 0.5, 2) * margin * full
        left = int(np.clip((x0 + x1 - side) / 2 + shift[0], 0, width - side))
        return left, int(np.clip((y0 + y1 - side) / 2 + shift[1], 0, height - side)), side

    def _labelled(
        self, kind: Kind, item: _Item, annotation: dict[str, Any], pixels: NDArray[np.float32],
        boxes: NDArray[np.float32], hides: bool,
    ) -> _Cut:  # fmt: skip
        """Return a view with everything that can be said about it; boxes xyxy in [0, 1] of the view."""
        notes = annotation["annotations"]
        inside = np.clip(boxes, 0, 1)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        shown = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1]) >= MIN_INSIDE * np.maximum(area, 1e-9)
        grid, verbs = self._grid, self._captions.num_verbs - 1
        classes = np.zeros((grid * grid, 1 + self._captions.num_objects), np.float32)
        for number in np.flatnonzero(shown):
            if not (hides and number == item.obj):
                column = self._object_of.get(notes[number]["category_id"], -1) + 1
                classes[:, column] = np.maximum(classes[:, column], self._patches(inside[number]))
        done = np.zeros((grid * grid, verbs), np.float32)
        regions: list[_Region] = []
        by_pair: dict[tuple[int, int], list[int]] = {}
        for note in annotation["hoi_annotation"]:
            by_pair.setdefault((note["subject_id"], note["object_id"]), []).append(note["hoi_category_id"] - 1)
        for (human, obj), members in by_pair.items():
            if not (shown[human] and shown[obj]):
                continue
            both = np.concatenate((inside[[human, obj], :2].min(0), inside[[human, obj], 2:].max(0)))
            patches = self._patches(both)
            for k in members:
                verb = self._vocabulary.interactions[k].verb
                done[:, verb] = np.maximum(done[:, verb], patches)
            if patches.any() and not hides:
                regions.append(_Region(patches, self._target(members[0], members[1:])))
        if kind == "pair":
            included = [k for k in by_pair[item.human, item.obj] if k != item.main]
            target = self._target(item.main, included, hides=hides)
        elif kind == "idle":
            target = self._beside(self._object_of[notes[item.obj]["category_id"]])
        elif kind == "object":
            target = self._objects({self._object_of[notes[item.obj]["category_id"]]})
        else:
            there = {self._object_of.get(notes[n]["category_id"], -1) for n in np.flatnonzero(shown)} - {-1}
            target = self._frame([region.target for region in regions], there)
        return _Cut(pixels, target, regions, classes, done)

    def _patches(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [P] 1 where a patch's centre lies in a box xyxy in [0, 1]."""
        centres = (np.arange(self._grid) + 0.5) / self._grid
        columns, rows = (centres >= box[0]) & (centres <= box[2]), (centres >= box[1]) & (centres <= box[3])
        return np.asarray((rows[:, None] & columns[None]).reshape(-1), np.float32)

    def _empty(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        captions = self._captions
        pairs, verbs, objects = (
            np.zeros(n, np.float32) for n in (len(captions.pairs), captions.num_verbs, captions.num_objects)
        )
        return pairs, verbs, objects

    def _target(self, main: int, included: list[int], *, hides: bool = False) -> _Target:
        pairs, verbs, objects = self._empty()
        share = 1.0 if not included else MAIN_SHARE
        rest = (1 - share) / max(len(included), 1)
        for k, weight in ((main, share), *((k, rest) for k in included)):
            interaction = self._vocabulary.interactions[k]
            verbs[interaction.verb] += weight
            if not hides:
                pairs[self._pair_column[Pair(interaction.verb, interaction.object)]] += weight
                objects[interaction.object] = 1.0
        return _Target(pairs, verbs, objects)

    def _beside(self, item: int) -> _Target:
        pairs, verbs, objects = self._empty()
        beside = self._captions.num_verbs - 1
        pairs[self._pair_column[Pair(beside, item)]] = verbs[beside] = objects[item] = 1.0
        return _Target(pairs, verbs, objects)

    def _objects(self, there: set[int]) -> _Target:
        pairs, verbs, objects = self._empty()
        if there:
            objects[sorted(there)] = 1 / len(there)
        return _Target(pairs, verbs, objects)

    def _frame(self, targets: list[_Target], there: set[int]) -> _Target:
        """Return what a view of several people shows: all of it, equally."""
        if not targets:
            return self._objects(there)
        pairs = np.asarray(np.mean([target.pairs for target in targets], 0), np.float32)
        verbs = np.asarray(np.mean([target.verbs for target in targets], 0), np.float32)
        return _Target(pairs, verbs, self._objects(there).objects)

    def _stack(self, targets: list[_Target]) -> Targets:
        if not targets:
            return Targets(*(torch.zeros(0, len(part)) for part in self._empty()))
        return Targets(*(torch.from_numpy(np.stack(parts)) for parts in zip(*targets, strict=True)))


class _Target(NamedTuple):
    """`Targets` of one view or region."""

    pairs: NDArray[np.float32]
    verbs: NDArray[np.float32]
    objects: NDArray[np.float32]


class _Region(NamedTuple):
    """An annotated pair inside a view."""

    patches: NDArray[np.float32]
    target: _Target


class _Cut(NamedTuple):
    """One view."""

    pixels: NDArray[np.float32]
    target: _Target
    regions: list[_Region]
    patch_classes: NDArray[np.float32]
    patch_verbs: NDArray[np.float32]
