"""The world's vocabulary: which interactions exist, which are kept out of training, and the file that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SEEN: tuple[str, ...] = (
    "ride bicycle", "ride motorcycle", "ride skateboard", "push bicycle", "walk dog", "hold umbrella",
    "hold sports_ball",
    "hold bottle", "hold cup", "hold cell_phone", "hold skateboard", "carry chair", "carry suitcase", "carry book",
    "sit_on chair", "sit_on bench", "kick sports_ball", "talk_on cell_phone", "drink_with bottle", "drink_with cup",
    "read book", "read cell_phone", "open refrigerator", "open suitcase", "drag suitcase",
)  # fmt: skip
UNSEEN: tuple[str, ...] = ("push motorcycle", "carry skateboard", "carry dog", "sit_on suitcase", "hold book")
"""Kept out of training; each one's verb and object are both seen in other combinations."""

PHRASES: dict[str, str] = {
    "ride": "riding", "push": "pushing", "walk": "walking", "hold": "holding", "carry": "carrying",
    "sit_on": "sitting on", "kick": "kicking", "talk_on": "talking on", "drink_with": "drinking with",
    "read": "reading", "open": "opening", "drag": "dragging",
}  # fmt: skip
COCO_IDS: dict[str, int] = {
    "bicycle": 2, "motorcycle": 4, "bench": 15, "dog": 18, "umbrella": 28, "suitcase": 33, "sports_ball": 37,
    "skateboard": 41, "bottle": 44, "cup": 47, "chair": 62, "cell_phone": 77, "refrigerator": 82, "book": 84,
}  # fmt: skip
PERSON_COCO_ID = 1
INTERACTIONS: tuple[str, ...] = SEEN + UNSEEN
VERBS: tuple[str, ...] = tuple(PHRASES)
OBJECTS: tuple[str, ...] = tuple(COCO_IDS)


def article(noun: str) -> str:
    """Return "a" or "an" as HICO-DET's prompts have it, "a umbrella" included."""
    return "an" if noun[0] in "aeio" else "a"


def vocabulary() -> dict[str, Any]:
    """Return the vocabulary in the form of the built-in ones."""

    from hoiclip.synthetic.acts import IMPLIED  # brings OpenCV

    def spoken(name: str) -> str:
        return name.replace("_", " ")

    interactions = []
    for name in INTERACTIONS:
        verb, thing = name.split(" ")
        noun = spoken(thing)
        interactions.append(
            {
                "verb": VERBS.index(verb),
                "object": OBJECTS.index(thing),
                "prompt": f"a photo of a person {PHRASES[verb]} {article(noun)} {noun}",
            }
        )
    return {
        "name": "world",
        "verbs": [{"name": name, "phrase": phrase} for name, phrase in PHRASES.items()],
        "objects": [
            {"name": name, "coco_id": number, "prompt": f"a photo of {article(spoken(name))} {spoken(name)}"}
            for name, number in COCO_IDS.items()
        ],
        "no_object_prompt": "a photo of nothing",
        "interactions": interactions,
        "rare": [],
        "together": [list(pair) for pair in sorted({_verbs(name, IMPLIED[name]) for name in IMPLIED})],
        "unseen": {"held_out": [INTERACTIONS.index(name) for name in UNSEEN]},
    }


def _verbs(*names: str) -> tuple[int, ...]:
    return tuple(VERBS.index(name.split(" ")[0]) for name in names)


def write_vocabulary() -> Path:
    """Write ``hoiclip/vocabularies/world.json``; run ``python -m hoiclip.synthetic.world`` after a change here."""
    path = Path(__file__).resolve().parent.parent / "vocabularies" / "world.json"
    path.write_text(json.dumps(vocabulary(), indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(write_vocabulary())
