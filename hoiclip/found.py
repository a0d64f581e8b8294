"""What was found in a picture, by name, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass

from hoiclip.postprocess import Detections, Floats
from hoiclip.predictor import Predictor

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Interaction:
    """A human and an object, and what the one does with the other.

    Boxes are (left, top, right, bottom) in pixels of the picture, inside it.
    """

    interaction: str  # name to show, such as "ride bicycle"
    verb: str  # such as "ride"; of a free text its whole name
    object: str  # the object's class, such as "bicycle"
    score: float  # in [0, 1]: how sure of the interaction, times how sure of the object
    human_box: Box
    object_box: Box
    ranking_score: float  # the published evaluation's: interaction plus squared object


def named_interactions(
    found: Detections, predictor: Predictor, size_hw: tuple[int, int], *, min_score: float = 0.0
) -> list[Interaction]:
    """Return what `predictor` found in a picture of `size_hw` with at least `min_score`, best score first.

    Classes that say "nothing is done" are left out.
    """
    classifier, scores = predictor.classifier, predictor.probabilities(found)
    named = []
    for i, k in enumerate(found.interactions.tolist()):
        if scores[i] < min_score or classifier.no_interaction[k]:
            continue
        seen = classifier.object_names[int(found.object_labels[i])]
        named.append(
            Interaction(
                interaction=classifier.names[k],
                verb=classifier.verbs[k],
                object=seen if classifier.object_index[k] < 0 else classifier.objects[k],
                score=float(scores[i]),
                human_box=_inside(found.human_boxes_xyxy[i], size_hw),
                object_box=_inside(found.object_boxes_xyxy[i], size_hw),
                ranking_score=float(found.scores[i]),
            )
        )
    return sorted(named, key=lambda interaction: -interaction.score)


def _inside(box: Floats, size_hw: tuple[int, int]) -> Box:
    height, width = size_hw
    left, top, right, bottom = (float(value) for value in box)
    return (min(max(left, 0.0), width), min(max(top, 0.0), height),
            min(max(right, 0.0), width), min(max(bottom, 0.0), height))  # fmt: skip
