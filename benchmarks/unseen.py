"""Say where a model loses the world's unseen interactions: at the boxes, at the object's class, or at the words.

Run: python benchmarks/unseen.py [--model PATH] [--pictures 600] [--seed 500010000]. Prints for each unseen
interaction its AP, in how many cases any query has both boxes (IoU 0.5), how sure the object's class is there, and what
the best such query is called. Validation seeds only: reported numbers come from others.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hoiclip.boxes import cxcywh_to_xyxy, iou_matrix
from hoiclip.evaluation.hico import HicoResult, InteractionClasses, Pairs, evaluate_hico
from hoiclip.postprocess import PairScores, rank, score
from hoiclip.synthetic.scene import draw_picture
from hoiclip.types import Outputs
from hoiclip.weights import TorchModel, load_torch_model

HEIGHT, WIDTH = 256, 448
SIZE = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float32)
Note = dict[str, Any]


def scores_of(loaded: TorchModel, first: int, count: int) -> tuple[PairScores, list[Note]]:
    """Return the scores on drawn pictures of the split with unseen interactions, and what they show."""
    drawn = [draw_picture(first + index, HEIGHT, WIDTH, "test") for index in range(count)]
    outputs = []
    with torch.inference_mode():
        for start in range(0, count, 16):
            frames = np.stack([picture for picture, _ in drawn[start : start + 16]])
            outputs.append([field.numpy() for field in loaded.module(torch.from_numpy(frames))])
    joined = Outputs(*(np.concatenate(field) for field in zip(*outputs, strict=True)))
    return score(joined, loaded.classifier()), [note for _, note in drawn]


def average_precision(loaded: TorchModel, scores: PairScores, notes: list[Note]) -> HicoResult:
    """Return HICO-DET's measures."""
    found, truth, classifier = [], [], loaded.classifier()
    for image, note in enumerate(notes):
        best = rank(scores, image, (HEIGHT, WIDTH), classifier)
        index = np.full(len(best), image)
        found.append(Pairs.build(index, best.interactions, best.human_boxes_xyxy, best.object_boxes_xyxy, best.scores))
        done, boxes = note["hoi_annotation"], boxes_of(note)
        ends = [boxes[[each[key] for each in done]].reshape(-1, 4) for key in ("subject_id", "object_id")]
        labels = [each["hoi_category_id"] - 1 for each in done]
        truth.append(Pairs.build(np.full(len(done), image), labels, ends[0], ends[1], np.ones(len(done))))
    classes = InteractionClasses.of(loaded.vocabulary)
    return evaluate_hico(Pairs.concatenate(truth), Pairs.concatenate(found), classes)


def boxes_of(note: Note) -> NDArray[np.float32]:
    """Return all boxes of a picture, xyxy in pixels."""
    return np.array([each["bbox"] for each in note["annotations"]], np.float32).reshape(-1, 4)


def losses_of(loaded: TorchModel, scores: PairScores, notes: list[Note], interaction: int) -> str:
    """Return one line about the true pairs of an interaction."""
    names, item = loaded.classifier().names, loaded.vocabulary.interactions[interaction].object
    found, sure, called = [], [], Counter[str]()
    for image, note in enumerate(notes):
        humans = cxcywh_to_xyxy(scores.human_boxes_cxcywh[image]) * SIZE
        things = cxcywh_to_xyxy(scores.object_boxes_cxcywh[image]) * SIZE
        boxes = boxes_of(note)
        for pair in note["hoi_annotation"]:
            if pair["hoi_category_id"] - 1 != interaction:
                continue
            both = np.minimum(
                iou_matrix(boxes[[pair["subject_id"]]], humans)[0], iou_matrix(boxes[[pair["object_id"]]], things)[0]
            )
            found.append(both.max() >= 0.5)
            candidates = np.flatnonzero(both >= 0.5) if found[-1] else np.array([both.argmax()])
            query = candidates[scores.object_scores[image, candidates, item].argmax()]
            sure.append(scores.object_scores[image, query, item])
            called[names[scores.interaction_scores[image, query].argmax()]] += 1
    told = ", ".join(f"{name} {count}" for name, count in called.most_common(3))
    return f"{len(found):3d} cases, boxes found {np.mean(found):.2f}, object sure {np.mean(sure):.2f}, called {told}"


def main() -> None:
    """Print one line an interaction and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/demo.bundle"))
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--seed", type=int, default=500_010_000)
    options = parser.parse_args()
    loaded = load_torch_model(options.model)
    scores, notes = scores_of(loaded, options.seed, options.pictures)
    result = average_precision(loaded, scores, notes)
    unseen = loaded.vocabulary.unseen["held_out"]
    seen = [k for k in range(len(loaded.vocabulary.interactions)) if k not in set(unseen)]
    for k in unseen:
        print(f"{loaded.vocabulary.display(k):18} AP {result.ap[k]:.3f}  {losses_of(loaded, scores, notes, k)}")
    print(f"mAP full {result.mean():.3f}, seen {result.mean(seen):.3f}, unseen {result.mean(list(unseen)):.3f}")


if __name__ == "__main__":
    main()
