"""Plain files of pictures with pairs, ground truth or predictions, as tables. The format: docs/evaluation.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoiclip.errors import InputError
from hoiclip.evaluation.hico import Pairs
from hoiclip.evaluation.vcoco import RolePairs, RoleTruth
from hoiclip.foreign_json import UNFIT, parse_json

if TYPE_CHECKING:
    from hoiclip.vocabulary import Vocabulary

PERSON = 1  # COCO's category


@dataclass(frozen=True)
class PictureFiles:
    """An annotation file and, to be scored, a prediction file; read and checked against each other."""

    annotations: Path
    predictions: Path | None
    true_pictures: list[dict[str, Any]]
    found_pictures: list[tuple[int, dict[str, Any]]]  # index of the annotated picture, predictions

    @classmethod
    def read(cls, annotations: Path, predictions: Path | None) -> PictureFiles:
        """Read both files. Pictures without predictions count as empty; unknown pictures are refused.

        Raises:
            InputError: a file that is missing, no JSON or of another form.
        """
        true_pictures = _read_list(annotations, "hoi_annotation")
        index: dict[str, int] = {}
        for number, picture in enumerate(true_pictures):
            if index.setdefault(picture["file_name"], number) != number:
                raise InputError(f"{annotations}: {picture['file_name']!r} is annotated twice")
        found: dict[int, dict[str, Any]] = {}
        for picture in _read_list(predictions, "hoi_prediction") if predictions else []:
            name = picture["file_name"]
            if name not in index:
                raise InputError(f"{predictions}: {name!r} is not in {annotations}; are these files of one data set?")
            if index[name] in found:
                raise InputError(f"{predictions}: {name!r} occurs twice")
            found[index[name]] = picture
        return cls(annotations, predictions, true_pictures, list(found.items()))

    @property
    def num_without_predictions(self) -> int:
        """How many annotated pictures the prediction file does not mention."""
        return len(self.true_pictures) - len(self.found_pictures)

    def hico_pairs(self, vocabulary: Vocabulary) -> tuple[Pairs, Pairs, int]:
        """Return ground truth, detections, and how many detections name no interaction of the vocabulary.

        An interaction is given by ``hoi_category_id`` (index + 1), else by ``category_id`` (verb index + 1) together
        with the category of the object box.
        """
        assert self.predictions is not None
        truth, parts = self.true_hico_pairs(vocabulary), _by_parts(vocabulary)
        found = Pairs.concatenate(
            [
                _hico_table(image, picture, "predictions", "hoi_prediction", parts, vocabulary, self.predictions)
                for image, picture in self.found_pictures
            ]
        )
        known = found.interaction >= 0
        kept = Pairs.build(*(getattr(found, name)[known] for name in Pairs.__dataclass_fields__))
        return truth, kept, int((~known).sum())

    def true_hico_pairs(self, vocabulary: Vocabulary) -> Pairs:
        """Return the ground truth. Raises InputError for a pair that is no interaction of the vocabulary."""
        parts = _by_parts(vocabulary)
        truth = [
            _hico_table(image, picture, "annotations", "hoi_annotation", parts, vocabulary, self.annotations)
            for image, picture in enumerate(self.true_pictures)
        ]
        outside = sum(int((table.interaction < 0).sum()) for table in truth)
        if outside:
            raise InputError(
                f"{self.annotations}: {outside} annotated pairs are no interaction of the vocabulary "
                f"{vocabulary.name!r}; is --vocabulary right?"
            )
        return Pairs.concatenate(truth)

    def first(self, limit: int | None) -> PictureFiles:
        """Return the same with at most the first `limit` pictures."""
        count = len(self.true_pictures) if limit is None else limit
        found = [(image, picture) for image, picture in self.found_pictures if image < count]
        return replace(self, true_pictures=self.true_pictures[:count], found_pictures=found)

    def vcoco_roles(self, num_verbs: int) -> tuple[RoleTruth, RolePairs]:
        """Return ground truth and detections; ``object_id`` -1 is an empty role."""
        people_image: list[int] = []
        people_boxes: list[Any] = []
        role_person, role_verb, role_boxes = [], [], []
        for image, picture in enumerate(self.true_pictures):
            where = f"{self.annotations}: {picture['file_name']}"
            boxes, categories = _boxes(picture, "annotations", where)
            hois = picture["hoi_annotation"]
            verbs, subjects, objects = (
                _indices(hois, "category_id", num_verbs, where, first=1),
                *_ends(hois, boxes, where),
            )
            people = sorted(set(np.flatnonzero(categories == PERSON).tolist()) | set(subjects.tolist()))
            row = {box: len(people_image) + i for i, box in enumerate(people)}
            people_image += [image] * len(people)
            people_boxes += [boxes[box] for box in people]
            role_person += [row[s] for s in subjects.tolist()]
            role_verb += verbs.tolist()
            role_boxes += list(_role_boxes(boxes, objects))
        truth = RoleTruth.build(people_image, people_boxes, role_person, role_verb, role_boxes)
        parts = []
        for image, picture in self.found_pictures:
            where = f"{self.predictions}: {picture['file_name']}"
            boxes, _ = _boxes(picture, "predictions", where)
            hois = picture["hoi_prediction"]
            subjects, objects = _ends(hois, boxes, where)
            parts.append(
                RolePairs.build(
                    np.full(len(hois), image),
                    _indices(hois, "category_id", num_verbs, where, first=1),
                    boxes[subjects],
                    _role_boxes(boxes, objects),
                    _scores(hois, where),
                )
            )
        return truth, RolePairs.concatenate(parts)


def _hico_table(
    image: int,
    picture: dict[str, Any],
    boxes_key: str,
    pairs_key: str,
    by_parts: dict[tuple[int, int], int],
    vocabulary: Vocabulary,
    path: Path,
) -> Pairs:
    """Return the pairs of one picture; interaction -1 where verb and object are no interaction."""
    where = f"{path}: {picture['file_name']}"
    boxes, categories = _boxes(picture, boxes_key, where)
    hois = picture[pairs_key]
    subjects, objects = _ends(hois, boxes, where)
    if len(hois) and objects.min() < 0:
        raise InputError(f"{where}: object_id must be an index into `{boxes_key}`; empty roles are V-COCO's")
    if len(hois) and "hoi_category_id" in hois[0]:
        interaction = _indices(hois, "hoi_category_id", len(vocabulary.interactions), where, first=1)
    else:
        verbs = _indices(hois, "category_id", 10_000, where, first=1).tolist()
        kinds = categories[objects].tolist()
        interaction = np.array([by_parts.get(part, -1) for part in zip(verbs, kinds, strict=True)], np.int64)
    score = _scores(hois, where) if pairs_key == "hoi_prediction" else None
    return Pairs.build(np.full(len(hois), image), interaction, boxes[subjects], boxes[objects], score)


def _by_parts(vocabulary: Vocabulary) -> dict[tuple[int, int], int]:
    """Return interaction index by verb index and COCO category."""
    return {(i.verb, vocabulary.objects[i.object].coco_id): k for k, i in enumerate(vocabulary.interactions)}


def _read_list(path: Path, pairs_key: str) -> list[dict[str, Any]]:
    try:
        document = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    boxes_key = "annotations" if pairs_key == "hoi_annotation" else "predictions"
    if not isinstance(document, list):
        raise InputError(f"{path}: expected a list of pictures, got {type(document).__name__}; see docs/evaluation.md")
    for number, picture in enumerate(document):
        missing = [
            key for key in ("file_name", boxes_key, pairs_key) if not isinstance(picture, dict) or key not in picture
        ]
        if missing:
            raise InputError(f"{path}: picture {number}: no {missing[0]!r}; see docs/evaluation.md")
        if not isinstance(picture["file_name"], str):
            raise InputError(f"{path}: picture {number}: file_name is no text; see docs/evaluation.md")
        for key in (boxes_key, pairs_key):
            if not isinstance(picture[key], list) or not all(isinstance(each, dict) for each in picture[key]):
                raise InputError(f"{path}: picture {number}: {key!r} is no list of objects; see docs/evaluation.md")
    return document


def _boxes(picture: dict[str, Any], key: str, where: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    try:
        boxes = np.array([box["bbox"] for box in picture[key]], np.float64).reshape(-1, 4)
        categories = np.array([box["category_id"] for box in picture[key]], np.int64)
    except UNFIT as error:
        raise InputError(
            f"{where}: each of `{key}` needs bbox [x0, y0, x1, y1] and category_id ({type(error).__name__}: {error})"
        ) from error
    if len(boxes) and not (np.isfinite(boxes).all() and (boxes[:, 2:] >= boxes[:, :2]).all()):
        raise InputError(f"{where}: a bbox is not [x0, y0, x1, y1] with x0 <= x1 and y0 <= y1")
    return boxes, categories


def _ends(hois: list[dict[str, Any]], boxes: NDArray[Any], where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return subject and object of each pair as indices of boxes; an object of -1 is an empty role."""
    subjects = _indices(hois, "subject_id", len(boxes), where)
    objects = _indices([{"object_id": -1 if h.get("object_id") is None else h["object_id"]} for h in hois],
                       "object_id", len(boxes), where, lowest=-1)  # fmt: skip
    return subjects, objects


def _indices(
    hois: list[dict[str, Any]], key: str, count: int, where: str, *, first: int = 0, lowest: int = 0
) -> NDArray[np.int64]:
    """Return `key` of every pair, counted from 0 although the file counts from `first`."""
    try:
        values = np.array([hoi[key] for hoi in hois], np.int64) - first
    except UNFIT as error:
        raise InputError(f"{where}: every pair needs an integer {key} ({type(error).__name__}: {error})") from error
    if len(values) and not lowest <= values.min() <= values.max() < count:
        bad = next(int(v) for v in values if not lowest <= v < count)
        raise InputError(f"{where}: {key} {bad + first} is outside {lowest + first}…{count - 1 + first}")
    return values


def _scores(hois: list[dict[str, Any]], where: str) -> NDArray[np.float64]:
    try:
        scores = np.array([hoi["score"] for hoi in hois], np.float64)
    except UNFIT as error:
        raise InputError(f"{where}: every pair needs a score ({type(error).__name__}: {error})") from error
    if not np.isfinite(scores).all():
        raise InputError(f"{where}: a score is not finite")
    return scores


def _role_boxes(boxes: NDArray[np.float64], objects: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a box for each object index; NaN for an empty role."""
    padded = np.concatenate([boxes, np.full((1, 4), np.nan, np.float64)])
    return padded[objects]  # index -1 is the last row
