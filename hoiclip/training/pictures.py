"""Annotated picture folders as training data: HICO-DET, V-COCO and the synthetic world, all in HICO-DET's form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hoiclip.errors import InputError
from hoiclip.evaluation.picture_files import PictureFiles
from hoiclip.vocabulary import Vocabulary


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
    """

    def __init__(self, annotations: Path, pictures: Path, vocabulary: Vocabulary, *, share: float = 1.0) -> None:
        """Read the annotation file; take every k-th picture so that `share` of them remains.

        Raises:
            InputError: a file that cannot be read, is of another form, or names what the vocabulary lacks.
        """
        self.vocabulary, self._folder = vocabulary, pictures
        by_parts: dict[tuple[int, int | None], int] = {
            (i.verb, vocabulary.objects[i.object].coco_id): k for k, i in enumerate(vocabulary.interactions)
        }
        self._items: list[tuple[str, NDArray[np.float32], NDArray[np.int64]]] = []
        for picture in PictureFiles.read(annotations, None).true_pictures:
            boxes = np.array([box["bbox"] for box in picture["annotations"]], np.float32).reshape(-1, 4)
            pairs = []
            for note in picture["hoi_annotation"]:
                thing = int(note.get("object_id", -1))
                if "hoi_category_id" in note:
                    interaction: int | None = int(note["hoi_category_id"]) - 1
                else:
                    category = None if thing < 0 else int(picture["annotations"][thing]["category_id"])
                    interaction = by_parts.get((int(note["category_id"]) - 1, category))
                if interaction is None or not 0 <= interaction < len(vocabulary.interactions):
                    raise InputError(
                        f"{annotations}: {picture['file_name']}: a pair is no interaction of the vocabulary "
                        f"{vocabulary.name!r}; is `data.vocabulary` right?"
                    )
                if not (0 <= int(note["subject_id"]) < len(boxes) and -1 <= thing < len(boxes)):
                    raise InputError(
                        f"{annotations}: {picture['file_name']}: subject_id and object_id must be indices of "
                        f"annotations, got {note['subject_id']} and {thing} of {len(boxes)}"
                    )
                pairs.append((int(note["subject_id"]), thing, interaction))
            if pairs:
                self._items.append((picture["file_name"], boxes, np.array(pairs, np.int64)))
        if not self._items:
            raise InputError(f"{annotations}: no picture with an annotated pair")
        step = len(self._items) / max(1, round(share * len(self._items)))
        self._items = [self._items[int(i * step)] for i in range(max(1, round(share * len(self._items))))]

    def __len__(self) -> int:
        return len(self._items)

    def pairs(self, index: int) -> list[tuple[int, int, int]]:
        """Return the annotated (human box, object box, interaction) of picture `index` without reading its pixels."""
        return [(human, thing, interaction) for human, thing, interaction in self._items[index][2].tolist()]

    def __getitem__(self, index: int) -> Annotated:
        """Return picture `index`. Raises InputError if its file cannot be read."""
        name, boxes, pairs = self._items[index]
        path = self._folder / name
        try:
            picture = Image.open(path).convert("RGB")
        except OSError as error:
            raise InputError(f"{path}: cannot be read as a picture ({error}); is `data.pictures` right?") from error
        return Annotated(picture, boxes, pairs)
