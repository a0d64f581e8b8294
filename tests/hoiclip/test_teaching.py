from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from hoiclip.classifier import TaughtRow, TrainedHeads
from hoiclip.errors import InputError
from hoiclip.lessons import Lesson, load_lessons, open_vocabulary, remove_lesson, store_lesson
from hoiclip.loaded import LoadedModel
from hoiclip.postprocess import sigmoid
from hoiclip.teaching import _average_precision, teach_row
from hoiclip.types import Outputs

EMBED, QUERIES, OBJECTS = 48, 10, 3


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


class Stage:
    """Embeddings as a model gives them: a common part, one for what is done, noise; query 0 does the new thing."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.common, self.acts = self.rng.normal(size=EMBED), self.rng.normal(size=(5, EMBED))

    def frames(self, count: int, *, doing: bool, sees_object: bool = True) -> Outputs[np.ndarray]:
        acts = self.rng.integers(1, 5, (count, QUERIES))
        if doing:
            acts[:, 0] = 0
        spaces = [
            unit(2 * self.common + self.acts[acts] + 0.7 * self.rng.normal(size=(count, QUERIES, EMBED)))
            for _ in range(2)
        ]
        logits = np.full((count, QUERIES, OBJECTS + 1), -4.0, np.float32)
        logits[..., 1] = 2.0 if sees_object else -4.0
        logits[..., -1] = 0.0
        boxes = np.full((count, QUERIES, 4), 0.5, np.float32)
        return Outputs(boxes, boxes, logits, spaces[0], spaces[1], np.zeros((count, EMBED), np.float32))


def heads(stage: Stage) -> TrainedHeads:
    rows = unit(stage.rng.normal(size=(8, EMBED)))
    return TrainedHeads(rows, np.zeros(8, np.float32), rows, np.eye(8, dtype=np.float32), 14.0, 0.5, rows)


def logits_of(outputs: Outputs[np.ndarray], row: TaughtRow, trained: TrainedHeads) -> np.ndarray:
    verbs = trained.verb_weight * outputs.verb_embeddings @ row.verb_text
    return np.asarray(trained.logit_scale * (outputs.interaction_embeddings @ row.text + row.bias + verbs))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("object_index", [1, None])
def test_five_examples_tell_the_new_interaction_from_the_others(seed: int, object_index: int | None) -> None:
    stage = Stage(seed)
    trained = heads(stage)
    text = unit(stage.acts[0] + 3 * stage.rng.normal(size=EMBED))  # words that say little
    examples = [stage.frames(6, doing=True) for _ in range(5)]
    taught = teach_row("wave", examples, [stage.frames(10, doing=False)], trained, text, object_index=object_index)
    new = stage.frames(40, doing=True)
    scores = sigmoid(logits_of(new, taught.row, trained))
    assert np.median(scores[:, 0]) > 0.75
    assert np.quantile(scores[:, 1:], 0.95) < 0.6
    assert (scores.argmax(1) == 0).mean() > 0.95
    assert taught.separation > 0.95
    assert taught.row.object == object_index


def test_an_object_that_no_example_shows_is_an_error() -> None:
    stage = Stage(0)
    examples = [stage.frames(3, doing=True, sees_object=False)]
    with pytest.raises(InputError, match="finds no fitting pair"):
        teach_row("wave", examples, [], heads(stage), unit(stage.acts[0]), object_index=1)


def test_one_example_without_background_still_gives_a_finite_row() -> None:
    stage = Stage(1)
    taught = teach_row("wave", [stage.frames(1, doing=True)], [], heads(stage), unit(stage.acts[0]))
    assert np.isfinite(taught.row.text).all()
    assert np.isfinite(taught.row.bias)
    assert taught.num_frames == 1


def test_the_expected_precision_is_high_for_clear_examples_and_low_for_examples_that_show_nothing() -> None:
    stage = Stage(3)
    trained, text = heads(stage), unit(stage.rng.normal(size=EMBED))
    background = [stage.frames(10, doing=False)]
    clear = teach_row("wave", [stage.frames(6, doing=True) for _ in range(5)], background, trained, text)
    nothing = teach_row("wave", [stage.frames(6, doing=False) for _ in range(5)], background, trained, text)
    assert clear.expected_ap is not None and nothing.expected_ap is not None
    assert 0.8 < clear.expected_ap[0] <= clear.expected_ap[1] <= 1
    assert nothing.expected_ap[0] < 0.75 < 0.9 < clear.expected_ap[0]
    two = teach_row("wave", [stage.frames(6, doing=True) for _ in range(2)], background, trained, text)
    assert two.expected_ap is None  # the next example cannot be judged from two


def test_the_fewer_examples_the_more_the_words_count() -> None:
    stage = Stage(2)
    trained, text = heads(stage), unit(stage.rng.normal(size=EMBED))
    background = [stage.frames(10, doing=False)]
    nearness = []
    for count in (1, 2, 8):
        taught = teach_row("wave", [stage.frames(4, doing=True) for _ in range(count)], background, trained, text)
        nearness.append(float(unit(taught.row.text) @ text))
    assert nearness[0] > nearness[1] > nearness[2]
    assert nearness[0] > 0.95 and nearness[2] < 0.9


def test_average_precision_equals_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 13).round(1), rng.normal(0, 1, 40).round(1)  # rounded: there are ties
    total = 0.0
    for hits, score in enumerate(sorted(positive, reverse=True), 1):
        total += hits / (hits + sum(value >= score for value in negative))
    assert _average_precision(positive, negative) == pytest.approx(total / 13)


def lesson(name: str, embed: int = 4, fingerprint: str = "abc") -> Lesson:
    row = np.arange(embed, dtype=np.float32)
    return Lesson(TaughtRow(name, row, row + 1, 2, row + 2, -0.5), fingerprint, ("a.mp4 1-2 s",))


BLOCK = "# mine\ninteractions:\n  - ride bicycle   # first\n  - text: waving\n    object: any\n"
BLOCK += "# the end\ntemplates: ['{}']\n"
FLOW = "interactions: [ride bicycle, {text: waving}]\ntemplates: ['{}']\n"


@pytest.mark.parametrize("text", [BLOCK, FLOW, BLOCK.split("# the end")[0].rstrip()])
def test_a_lesson_is_stored_listed_and_removed_without_touching_the_rest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    stored = store_lesson(path, lesson('tapping "a" badge: reader'))
    assert stored.parent == tmp_path / "my.taught"
    entries = yaml.safe_load(path.read_text())["interactions"]
    assert entries == [*yaml.safe_load(text)["interactions"], {"taught": 'tapping "a" badge: reader'}]
    assert all(line in path.read_text() for line in text.splitlines() if line.startswith("#"))
    (found,) = load_lessons(path)
    assert (found.version, found.row.object, found.row.bias) == (1, 2, -0.5)
    np.testing.assert_array_equal(found.row.verb_text, [1, 2, 3, 4])
    store_lesson(path, lesson('tapping "a" badge: reader'))
    assert load_lessons(path)[0].version == 2
    assert path.read_text().count("taught") == 1
    assert remove_lesson(path, 'tapping "a" badge: reader') == 2
    assert path.read_text().rstrip() == text.rstrip()
    assert not (tmp_path / "my.taught").exists()


def test_a_vocabulary_that_does_not_exist_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    store_lesson(path, lesson("waving"))
    assert yaml.safe_load(path.read_text()) == {"interactions": [{"taught": "waving"}]}
    with pytest.raises(InputError, match="only interaction"):
        remove_lesson(path, "waving")


def test_removing_what_was_never_taught_lists_what_was(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(BLOCK)
    store_lesson(path, lesson("waving at a train"))
    with pytest.raises(InputError, match="`waving at a train`"):
        remove_lesson(path, "weaving")


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no", None])
def test_a_damaged_lesson_is_named(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(BLOCK)
    stored = store_lesson(path, lesson("waving"))
    stored.write_bytes(stored.read_bytes()[:200] if damage is None else damage)
    with pytest.raises(InputError, match=stored.name):
        load_lessons(path)


def test_what_an_interrupted_write_left_is_no_lesson(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(BLOCK)
    stored = store_lesson(path, lesson("waving"))
    stored.with_name(f"{stored.stem}.part.npz").write_bytes(b"PK half a file")
    assert [found.row.name for found in load_lessons(path)] == ["waving"]


def test_a_taught_row_reaches_the_classifier_and_another_model_is_refused(
    tmp_path: Path, tiny_loaded: LoadedModel
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("interactions:\n  - ride bicycle\n")
    embed = tiny_loaded.config.clip.embed_dim
    store_lesson(path, lesson("waving", embed, tiny_loaded.fingerprint))
    found = open_vocabulary(tiny_loaded, path, cache_dir=tmp_path / "cache")
    assert found.names == ("ride bicycle", "waving")
    np.testing.assert_array_equal(found.text[1], np.arange(embed))
    assert found.bias[1] == -0.5
    store_lesson(path, lesson("waving", embed, "another"))
    with pytest.raises(InputError, match="was taught to model another"):
        open_vocabulary(tiny_loaded, path, cache_dir=tmp_path / "cache")


def test_a_taught_row_without_a_lesson_names_its_line(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("interactions:\n  - ride bicycle\n  - taught: tapping a badge\n")
    with pytest.raises(InputError, match=r"my\.yaml:3: `tapping a badge` was not taught; run `hoistream teach`"):
        open_vocabulary(tiny_loaded, path)
