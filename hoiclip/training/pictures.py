"""Annotated picture folders as training data: HICO-DET, V-COCO and the synthetic world, all in HICO-DET's form."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hoiclip.errors import InputError
from hoiclip.evaluation.picture_files import PictureFiles
from hoiclip.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotated:
    """A picture and what is annotated on it."""

    picture: Image.Image  # RGB
    boxes: NDArray[np.float32]  # [N, 4] xyxy in pixels
    pairs: NDArray[np.int64]  # [P, 3]: human box, object box (-1: the role is empty), interaction

    def keep(self, boxes: NDArray[np.float32], visible: NDArray[np.bool_], picture: Image.Image) -> Annotated:
        """Return the same pairs on moved boxes [N, 4], without those one of whose boxes is not visible."""
        empty = self.pairs[:, 1] < 0
        alive = visible[self.pairs[:, 0]] & (empty | visible[self.pairs[:, 1]])
        return Annotated(picture, boxes, self.pairs[alive])


class PictureData:
    """A folder of pictures and one annotation file; pictures without pairs are left out.

    The file is a list of ``{file_name, annotations: [{bbox, category_id}], hoi_annotation: [{subject_id, object_id,
    category_id, hoi_category_id}]}`` as published for HICO-DET and V-COCO and as `hoistream synth` writes it; without
    `hoi_category_id` the interaction follows from verb and object, and an `object_id` of -1 is V-COCO's empty role.
    Verbs count from 1, or from 0 in a file where one of them is 0.
    """

    def __init__(
        self,
        annotations: Path,
        pictures: Path,
        vocabulary: Vocabulary,
        *,
        share: float = 1.0,
        hidden: frozenset[int] = frozenset(),
    ) -> None:
        """Read the annotation file; take every k-th picture so that `share` of them remains.

        Pairs of `hidden` interactions are left out. So are pairs of a verb and an object that together are no
        interaction of the vocabulary, with a warning that counts them.

        Raises:
            InputError: a file that cannot be read or is of another form, or more than a tenth of its pairs are no
                interaction of the vocabulary.
        """
        self.vocabulary, self._folder, self._annotations = vocabulary, pictures, annotations
        documents = PictureFiles.read(annotations, None).true_pictures
        self._first_verb = 0 if _has_verb_zero(documents) else 1
        self._by_parts: dict[tuple[int, int | None], int] = {
            (i.verb, vocabulary.objects[i.object].coco_id): k for k, i in enumerate(vocabulary.interactions)
        }
        self._items: list[tuple[str, NDArray[np.float32], NDArray[np.int64]]] = []
        count = outside = 0
        for picture in documents:
            try:
                boxes, pairs = self._read(picture)
            except InputError:
                raise
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"{annotations}: {picture['file_name']}: not in HICO-DET's form "
                    f"({type(error).__name__}: {error}); see docs/evaluation.md"
                ) from error
            count, outside = count + len(pairs), outside + int((pairs[:, 2] < 0).sum())
            shown = pairs[(pairs[:, 2] >= 0) & ~np.isin(pairs[:, 2], list(hidden))]
            if len(shown):
                self._items.append((picture["file_name"], boxes, shown))
        if outside > 0.1 * count:
            raise InputError(
                f"{annotations}: {outside} of {count} pairs are no interaction of the vocabulary "
                f"{vocabulary.name!r}; is `data.vocabulary` right?"
            )
        if outside:
            logger.warning("%s: %d of %d pairs are no interaction of the vocabulary %s and are left out",
                           annotations, outside, count, vocabulary.name)  # fmt: skip
        if not self._items:
            raise InputError(f"{annotations}: no picture with an annotated pair")
        step = len(self._items) / max(1, round(share * len(self._items)))
        self._items = [self._items[int(i * step)] for i in range(max(1, round(share * len(self._items))))]

    def _read(self, picture: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return boxes [N, 4] and pairs [P, 3], with interaction -1 where verb and object are none."""
        boxes = np.array([box["bbox"] for box in picture["annotations"]], np.float32).reshape(-1, 4)
        pairs = []
        for note in picture["hoi_annotation"]:
            human, obj = int(note["subject_id"]), int(note.get("object_id", -1))
            if not (0 <= human < len(boxes) and -1 <= obj < len(boxes)):
                raise InputError(
                    f"{self._annotations}: {picture['file_name']}: subject_id and object_id must be indices of "
                    f"annotations, got {human} and {obj} of {len(boxes)}"
                )
            if "hoi_category_id" in note:
                interaction = int(note["hoi_category_id"]) - 1
                known = 0 <= interaction < len(self.vocabulary.interactions)
                interaction = interaction if known else -1
            else:
                category = None if obj < 0 else int(picture["annotations"][obj]["category_id"])
                interaction = self._by_parts.get((int(note["category_id"]) - self._first_verb, category), -1)
            pairs.append((human, obj, interaction))
        return boxes, np.array(pairs, np.int64).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._items)

    def pairs(self, index: int) -> list[tuple[int, int, int]]:
        """Return the annotated (human box, object box, interaction) of picture `index` without reading its pixels."""
        return [(human, obj, interaction) for human, obj, interaction in self._items[index][2].tolist()]

    def __getitem__(self, index: int) -> Annotated:
        """Return picture `index`. Raises InputError if its file cannot be read."""
        name, boxes, pairs = self._items[index]
        path = self._folder / name
        try:
            picture = Image.open(path).convert("RGB")
        except OSError as error:
            raise InputError(f"{path}: cannot be read as a picture ({error}); is `data.pictures` right?") from error
        return Annotated(picture, boxes, pairs)


def _has_verb_zero(documents: list[dict[str, Any]]) -> bool:
    pictures = (one["hoi_annotation"] for one in documents if isinstance(one["hoi_annotation"], list))
    return any(isinstance(note, dict) and note.get("category_id") == 0 for notes in pictures for note in notes)
