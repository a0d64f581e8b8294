"""Measure what a few examples add to words on the world's unseen interactions.

Run: python benchmarks/teaching.py [--model PATH] [--pictures 300] [--sets 3] [--examples 5]. Prints AP on test
pictures for words alone, for words that say nothing, and for both taught with sets of pictures of other seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hoiclip.classifier import TaughtRow, TextClassifier
from hoiclip.evaluation.hico import InteractionClasses, Pairs, evaluate_hico
from hoiclip.postprocess import rank, score
from hoiclip.synthetic.scene import draw_picture
from hoiclip.teaching import teach_row
from hoiclip.types import Outputs
from hoiclip.vocabulary import Vocabulary, Wanted, find_verb
from hoiclip.weights import TorchModel, load_torch_model

TEST_SEED, EXAMPLE_SEED = 5_000_000, 7_000_000  # training never uses such
EXAMPLES, BACKGROUND = 5, 40
EMPTY_WORDS = "a person doing exercise number seven"
Result = Outputs[NDArray[np.float32]]
Size = tuple[int, int]


def run(loaded: TorchModel, pixels: NDArray[np.uint8]) -> Result:
    """Return the outputs for one picture."""
    with torch.inference_mode():
        return Outputs(*(field.numpy() for field in loaded.module(torch.from_numpy(pixels[None]))))


def acts(note: dict[str, Any]) -> set[int]:
    """Return the interactions of a picture."""
    return {item["hoi_category_id"] - 1 for item in note["hoi_annotation"]}


def drawn(seed: int, interaction: int | None) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures with the interaction, or with none of the unseen ones."""
    for index in count():
        pixels, note = draw_picture(seed + index, split="test")
        if (interaction in acts(note)) if interaction is not None else not any(k >= 25 for k in acts(note)):
            yield pixels


def truth_of(notes: list[dict[str, Any]]) -> Pairs:
    """Return all true pairs."""
    rows = [
        (
            i,
            h["hoi_category_id"] - 1,
            n["annotations"][h["subject_id"]]["bbox"],
            n["annotations"][h["object_id"]]["bbox"],
        )
        for i, n in enumerate(notes)
        for h in n["hoi_annotation"]
    ]
    return Pairs.build(*(list(column) for column in zip(*rows, strict=True)))


def average_precision(
    outputs: list[Result], sizes: list[Size], truth: Pairs, k: int, row: TextClassifier, known: Vocabulary
) -> float:
    """Return the AP of interaction `k` scored by a classifier of one row."""
    tables = []
    for image, (result, size) in enumerate(zip(outputs, sizes, strict=True)):
        best = rank(score(result, row), 0, size, row)
        tables.append(
            Pairs.build(
                [image] * len(best), [k] * len(best), best.human_boxes_xyxy, best.object_boxes_xyxy, best.scores
            )
        )
    return float(evaluate_hico(truth, Pairs.concatenate(tables), InteractionClasses.of(known)).ap[k])


def main() -> None:
    """Print one line an interaction and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/demo.bundle"))
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="in each set")
    options = parser.parse_args()
    loaded = load_torch_model(options.model)
    known = loaded.vocabulary
    outputs, notes, sizes = [], [], []
    for index in range(options.pictures):
        pixels, note = draw_picture(TEST_SEED + index, split="test")
        outputs.append(run(loaded, pixels))
        notes.append(note)
        sizes.append((pixels.shape[0], pixels.shape[1]))
    truth = truth_of(notes)
    background = [run(loaded, pixels) for pixels, _ in zip(drawn(EXAMPLE_SEED + 10**6, None), range(BACKGROUND))]  # noqa: B905
    table = []
    for k in known.unseen["held_out"]:
        thing = known.interactions[k].object
        line = []
        pools = [run(loaded, p) for p, _ in zip(drawn(EXAMPLE_SEED, k), range(options.examples * options.sets))]  # noqa: B905
        for words in (known.interactions[k].prompt, EMPTY_WORDS):
            verb = find_verb(words, known)
            wanted = [Wanted(words, None, words, verb, thing)]
            line.append(average_precision(outputs, sizes, truth, k, loaded.classifier(wanted), known))
            taught = []
            for first in range(0, len(pools), options.examples):
                examples = pools[first : first + options.examples]
                embedding = loaded.encode_texts([words])[0]
                lesson = teach_row(words, examples, background, loaded.heads, embedding, object_index=thing, verb=verb)
                taught.append(average_precision(outputs, sizes, truth, k, _taught(loaded, lesson.row), known))
            line.append(float(np.mean(taught)))
        table.append(line)
        print(_line(known.display(k), line), flush=True)
    print(_line("mean", [float(np.nanmean(column)) for column in zip(*table, strict=True)]))


def _taught(loaded: TorchModel, row: TaughtRow) -> TextClassifier:
    return loaded.classifier([Wanted(row.name, None, "", None, None, taught=row.name)], taught=[row])


def _line(name: str, values: list[float]) -> str:
    names = ("words", "words + 5 examples", "empty words", "empty words + 5 examples")
    return f"{name:20s} " + " · ".join(f"{n} {v:.3f}" for n, v in zip(names, values, strict=True))


if __name__ == "__main__":
    main()
