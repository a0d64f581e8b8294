"""Everything that can be said about a square view of a drawn picture, as soft targets for CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hoiclip.training.world.captions import Captions, Pair
from hoiclip.vocabulary import Vocabulary

Kind = Literal["pair", "idle", "object", "frame"]
MAIN_SHARE = 0.7  # of a pair's target that what the person mainly does gets; what it includes shares the rest
MIN_INSIDE = 0.5  # of a box that a view must show


class Focus(NamedTuple):
    """What a view is about: a picture, and which of its annotations; -1 where there is none."""

    picture: int
    human: int = -1
    obj: int = -1
    main: int = -1  # index of the interaction


class Targets(NamedTuple):
    """What N views or regions show: soft targets, rows of zeros where a question has no answer."""

    pairs: Tensor  # [N, C] over `Captions.pairs`
    verbs: Tensor  # [N, A + 1]
    objects: Tensor  # [N, O]


class Target(NamedTuple):
    """`Targets` of one view or region."""

    pairs: NDArray[np.float32]
    verbs: NDArray[np.float32]
    objects: NDArray[np.float32]


class Region(NamedTuple):
    """An annotated pair inside a view."""

    patches: NDArray[np.float32]  # [P] 0/1, inside the box around both
    target: Target


class Labels(NamedTuple):
    """What one view shows."""

    target: Target  # of the view as a whole
    regions: list[Region]
    patch_classes: NDArray[np.float32]  # [P, 1 + O] 0/1: person, objects
    patch_verbs: NDArray[np.float32]  # [P, A] 0/1, inside the box around a pair that does it


class Labeller:
    """Turns annotations into targets; `grid` is the number of patches along a side."""

    def __init__(self, vocabulary: Vocabulary, captions: Captions, grid: int) -> None:
        self._vocabulary, self._captions, self._grid = vocabulary, captions, grid
        self._pair_column = {pair: column for column, pair in enumerate(captions.pairs)}
        self._object_of = {each.coco_id: index for index, each in enumerate(vocabulary.objects)}

    def is_object(self, box: dict[str, Any]) -> bool:
        """Whether an annotated box holds an object of the vocabulary, no person."""
        return box["category_id"] in self._object_of

    def labels(
        self, kind: Kind, focus: Focus, annotation: dict[str, Any], boxes: NDArray[np.float32], *, hides: bool
    ) -> Labels:
        """Return what a view shows; `boxes` xyxy in [0, 1] of the view, `hides` when its object is painted over."""
        notes = annotation["annotations"]
        inside = np.clip(boxes, 0, 1)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        shown = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1]) >= MIN_INSIDE * np.maximum(area, 1e-9)
        pairs: dict[tuple[int, int], list[int]] = {}
        for note in annotation["hoi_annotation"]:
            pairs.setdefault((note["subject_id"], note["object_id"]), []).append(note["hoi_category_id"] - 1)
        verbs, regions = self._pairs_shown(pairs, inside, shown, hides)
        visible = [int(n) for n in np.flatnonzero(shown) if not (hides and n == focus.obj)]
        there = {self._object_of.get(notes[n]["category_id"], -1) for n in visible} - {-1}
        if kind == "pair":
            included = [k for k in pairs[focus.human, focus.obj] if k != focus.main]
            target = self._act(focus.main, included, hides=hides)
        elif kind == "idle":
            target = self._beside(self._object_of[notes[focus.obj]["category_id"]])
        elif kind == "object":
            target = self._objects({self._object_of[notes[focus.obj]["category_id"]]})
        else:
            target = self._scene([region.target for region in regions], there)
        return Labels(target, regions, self._classes([notes[n] for n in visible], inside[visible]), verbs)

    def stacked(self, targets: Sequence[Target]) -> Targets:
        """Return the targets of several views or regions as tensors."""
        if not targets:
            return Targets(*(torch.zeros(0, len(part)) for part in self._empty()))
        return Targets(*(torch.from_numpy(np.stack(parts)) for parts in zip(*targets, strict=True)))

    def _pairs_shown(
        self, pairs: dict[tuple[int, int], list[int]], inside: NDArray[np.float32], shown: NDArray[np.bool_],
        hides: bool,
    ) -> tuple[NDArray[np.float32], list[Region]]:  # fmt: skip
        """Return each patch's verbs [P, A], and the pairs of which enough is inside."""
        verbs = np.zeros((self._grid**2, self._captions.num_verbs - 1), np.float32)
        regions: list[Region] = []
        for (human, obj), members in pairs.items():
            if not (shown[human] and shown[obj]):
                continue
            both = np.concatenate((inside[[human, obj], :2].min(0), inside[[human, obj], 2:].max(0)))
            patches = self._patches(both)
            for k in members:
                verb = self._vocabulary.interactions[k].verb
                verbs[:, verb] = np.maximum(verbs[:, verb], patches)
            if patches.any() and not hides:
                regions.append(Region(patches, self._act(members[0], members[1:])))
        return verbs, regions

    def _classes(self, notes: list[dict[str, Any]], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        classes = np.zeros((self._grid**2, 1 + self._captions.num_objects), np.float32)
        for note, box in zip(notes, boxes, strict=True):
            column = self._object_of.get(note["category_id"], -1) + 1
            classes[:, column] = np.maximum(classes[:, column], self._patches(box))
        return classes

    def _patches(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [P] 1 where a patch's centre lies in a box xyxy in [0, 1]."""
        centres = (np.arange(self._grid) + 0.5) / self._grid
        columns, rows = (centres >= box[0]) & (centres <= box[2]), (centres >= box[1]) & (centres <= box[3])
        return np.asarray((rows[:, None] & columns[None]).reshape(-1), np.float32)

    def _empty(self) -> Target:
        captions = self._captions
        return Target(
            *(np.zeros(n, np.float32) for n in (len(captions.pairs), captions.num_verbs, captions.num_objects))
        )

    def _act(self, main: int, included: list[int], *, hides: bool = False) -> Target:
        """Return what somebody does: mainly one interaction, and those that it includes."""
        target = self._empty()
        share = 1.0 if not included else MAIN_SHARE
        rest = (1 - share) / max(len(included), 1)
        for k, weight in ((main, share), *((k, rest) for k in included)):
            interaction = self._vocabulary.interactions[k]
            target.verbs[interaction.verb] += weight
            if not hides:
                target.pairs[self._pair_column[Pair(interaction.verb, interaction.object)]] += weight
                target.objects[interaction.object] = 1.0
        return target

    def _beside(self, obj: int) -> Target:
        """Return that somebody does nothing with what is there."""
        target = self._empty()
        beside = self._captions.num_verbs - 1
        target.pairs[self._pair_column[Pair(beside, obj)]] = target.verbs[beside] = target.objects[obj] = 1.0
        return target

    def _objects(self, there: set[int]) -> Target:
        target = self._empty()
        if there:
            target.objects[sorted(there)] = 1 / len(there)
        return target

    def _scene(self, acts: list[Target], there: set[int]) -> Target:
        """Return what a view of several people shows: all of it, equally."""
        target = self._objects(there)
        if not acts:
            return target
        pairs = np.asarray(np.mean([act.pairs for act in acts], 0), np.float32)
        verbs = np.asarray(np.mean([act.verbs for act in acts], 0), np.float32)
        return Target(pairs, verbs, target.objects)
