from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hoiclip.classifier import TaughtRow, TextClassifier, TrainedHeads, build_classifier
from hoiclip.errors import InputError
from hoiclip.vocabulary import Wanted, all_of, load_builtin, spoken

WORLD = load_builtin("world")
EMBED = 16
Make = Callable[..., TrainedHeads]


class Tower:
    """A text tower that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        rows = np.array([np.random.default_rng(sum(map(ord, t))).normal(size=EMBED) for t in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def build(make: Make, rows: Sequence[Wanted], tower: Tower, folder: Path, **more: object) -> TextClassifier:
    heads = make(len(WORLD.interactions), len(WORLD.verbs), EMBED)
    settings = {"model_fingerprint": "abc", **more}
    return build_classifier(heads, WORLD, rows, encode=tower, cache_dir=folder, **settings)  # type: ignore[arg-type]


def free(text: str, verb: int | None = None, thing: int | None = None) -> Wanted:
    return Wanted(text, None, text, verb, thing)


def test_known_rows_reuse_what_was_trained_and_leave_the_text_tower_alone(make_heads: Make, tmp_path: Path) -> None:
    tower = Tower()
    heads = make_heads(len(WORLD.interactions), len(WORLD.verbs), EMBED)
    found = build(make_heads, all_of(WORLD), tower, tmp_path)
    assert tower.asked == []
    np.testing.assert_array_equal(found.text, heads.interaction_text)
    np.testing.assert_array_equal(found.bias, heads.interaction_bias)
    for k in range(len(found)):
        np.testing.assert_allclose(found.verb_text[k], heads.verb_to_interaction[:, k] @ heads.verb_text, atol=1e-6)
        assert found.object_index[k] == WORLD.interactions[k].object


def test_free_text_takes_the_towers_row_the_mean_bias_and_the_known_verbs_row(make_heads: Make, tmp_path: Path) -> None:
    tower = Tower()
    heads = make_heads(len(WORLD.interactions), len(WORLD.verbs), EMBED)
    found = build(make_heads, [free("carrying a ladder", 2), free("waving", None, 3)], tower, tmp_path)
    np.testing.assert_allclose(found.text, Tower()(["carrying a ladder", "waving"]), atol=1e-6)
    np.testing.assert_allclose(found.bias, heads.interaction_bias.mean(), atol=1e-6)
    np.testing.assert_array_equal(found.verb_text[0], heads.verb_text[2])
    assert not found.verb_text[1].any()
    assert found.object_index.tolist() == [-1, 3]
    assert found.objects[0] == "any"


def test_templates_are_filled_and_averaged_to_unit_rows(make_heads: Make, tmp_path: Path) -> None:
    tower = Tower()
    found = build(make_heads, [free("a {brace}")], tower, tmp_path, templates=("{}", "a photo of {}"))
    assert tower.asked == [["a {brace}", "a photo of a {brace}"]]
    mean = Tower()(["a {brace}", "a photo of a {brace}"]).mean(0)
    np.testing.assert_allclose(found.text[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_second_start_does_not_run_the_text_tower(make_heads: Make, tmp_path: Path) -> None:
    first, second = Tower(), Tower()
    rows = [free("waving"), free("tapping a badge reader")]
    one = build(make_heads, rows, first, tmp_path)
    two = build(make_heads, rows, second, tmp_path)
    assert (len(first.asked), len(second.asked)) == (1, 0)
    np.testing.assert_array_equal(one.text, two.text)
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize("change", [{"model_fingerprint": "other"}, {"templates": ("{}!",)}])
def test_another_model_or_template_is_not_served_from_the_cache(make_heads: Make, tmp_path: Path, change: dict) -> None:
    build(make_heads, [free("waving")], Tower(), tmp_path)
    tower = Tower()
    build(make_heads, [free("waving")], tower, tmp_path, **change)
    assert len(tower.asked) == 1


def test_a_damaged_cache_file_is_made_anew(make_heads: Make, tmp_path: Path) -> None:
    build(make_heads, [free("waving")], Tower(), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    tower = Tower()
    found = build(make_heads, [free("waving")], tower, tmp_path)
    assert len(tower.asked) == 1
    np.testing.assert_allclose(found.text, Tower()(["waving"]), atol=1e-6)


def test_a_cache_that_cannot_be_written_costs_nothing_but_a_warning(
    make_heads: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    found = build(make_heads, [free("waving")], Tower(), blocked)
    assert len(found) == 1
    assert "cannot be written" in caplog.text


def test_an_empty_vocabulary_is_an_empty_classifier(make_heads: Make, tmp_path: Path) -> None:
    tower = Tower()
    found = build(make_heads, [], tower, tmp_path)
    assert len(found) == 0
    assert found.text.shape == (0, EMBED)
    assert tower.asked == []


def test_a_taught_row_is_used_and_an_untaught_one_refused(make_heads: Make, tmp_path: Path) -> None:
    row = np.arange(EMBED, dtype=np.float32)
    lesson = TaughtRow("wave", row, row + 1, 4, row + 2, bias=-0.25)
    wanted = [Wanted("wave", None, "", None, None, taught="wave")]
    found = build(make_heads, wanted, Tower(), tmp_path, taught=[lesson])
    np.testing.assert_array_equal(found.text[0], row)
    np.testing.assert_array_equal(found.verb_text[0], row + 1)
    assert (found.bias[0], found.object_index[0], found.verbs[0]) == (-0.25, 4, "wave")
    with pytest.raises(InputError, match="hoistream teach"):
        build(make_heads, wanted, Tower(), tmp_path)


def test_rivals_are_rows_of_one_object_whose_verbs_never_go_together(make_heads: Make, tmp_path: Path) -> None:
    found = build(make_heads, all_of(WORLD), Tower(), tmp_path)
    assert found.rivals is not None

    def rivals(name: str) -> set[str]:
        row = found.names.index(name)
        return {found.names[k] for k in found.rivals[row]} - {name}

    assert rivals("ride motorcycle") == {"push motorcycle"}
    assert rivals("hold cup") == set()  # who drinks with a cup holds it
    assert rivals("hold cell phone") == {"read cell phone"}


def test_where_nobody_knows_what_goes_together_nothing_has_rivals(make_heads: Make, tmp_path: Path) -> None:
    hico = load_builtin("hico")
    heads = make_heads(len(hico.interactions), len(hico.verbs), EMBED)
    found = build_classifier(heads, hico, all_of(hico), model_fingerprint="a", encode=Tower(), cache_dir=tmp_path)
    assert found.rivals is None


def test_what_is_said_of_any_object_has_no_rivals(make_heads: Make, tmp_path: Path) -> None:
    rows = [free("riding something", 0), free("pushing something", 1)]
    assert build(make_heads, rows, Tower(), tmp_path).rivals is None


def test_each_text_is_averaged_over_its_own_templates_and_over_no_other_texts(make_heads: Make, tmp_path: Path) -> None:
    texts, templates = ["waving", "tapping a badge reader", "carrying a ladder"], ("{}", "a photo of {}")
    found = build(make_heads, [free(text) for text in texts], Tower(), tmp_path, templates=templates)
    for text, row in zip(texts, found.text, strict=True):
        mean = Tower()([template.replace("{}", text) for template in templates]).mean(0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)


def test_whatever_decides_a_row_decides_the_classifiers_fingerprint(make_heads: Make, tmp_path: Path) -> None:
    row = np.arange(EMBED, dtype=np.float32)
    lesson = TaughtRow("wave", row, row + 1, 4, row + 2, bias=-0.25)
    taught = Wanted("wave", None, "", None, None, taught="wave")

    def fingerprint(lesson: TaughtRow = lesson, words: list[Wanted] | None = None, **changes: Any) -> str:
        wanted = words or [taught, free("waving")]
        return build(make_heads, wanted, Tower(), tmp_path, taught=[lesson], **changes).fingerprint

    others = [
        *(fingerprint(replace(lesson, **{name: row + 9})) for name in ("text", "verb_text", "embedding")),
        fingerprint(replace(lesson, bias=-0.2500001)),
        fingerprint(replace(lesson, object=5)),
        fingerprint(replace(lesson, object=None)),
        fingerprint(model_fingerprint="other"),
        fingerprint(templates=("{}!",)),
        fingerprint(templates=("{}", "{}!")),
        fingerprint(words=[free("waving"), taught]),
        fingerprint(words=[taught, free("waves")]),
        fingerprint(words=[taught, free("waving", 2)]),
    ]
    assert len({fingerprint(), *others}) == 1 + len(others)
    assert fingerprint() == fingerprint()


def test_rows_say_what_to_show_and_what_says_nothing_is_done(make_heads: Make, tmp_path: Path) -> None:
    hico = load_builtin("hico")
    heads = make_heads(len(hico.interactions), len(hico.verbs), EMBED)
    silent = next(k for k, verb in enumerate(hico.verbs) if verb.name == "no_interaction")
    row = np.ones(EMBED, np.float32)
    taught = TaughtRow("wave", row, row, None, row)
    wanted = [free("waving"), free("a ladder", silent, 3), Wanted("wave", None, "", None, None, taught="wave")]
    found = build_classifier(
        heads, hico, wanted, model_fingerprint="abc", encode=Tower(), taught=[taught], cache_dir=tmp_path
    )
    assert found.names == ("waving", "a ladder", "wave")
    assert found.prompts == ("waving", "a ladder", "wave")
    assert found.verbs == ("waving", "no_interaction", "wave")
    assert found.objects == ("any", spoken(hico.objects[3].name), "any")
    assert found.object_names == tuple(spoken(thing.name) for thing in hico.objects)
    assert found.no_interaction.tolist() == [False, True, False]
    assert (found.verb_weight, found.logit_scale) == (heads.verb_weight, heads.logit_scale)


def test_every_matrix_has_the_type_that_heads_multiply_by_and_known_rows_their_embeddings(
    make_heads: Make, tmp_path: Path
) -> None:
    heads = make_heads(len(WORLD.interactions), len(WORLD.verbs), EMBED)
    known = build(make_heads, all_of(WORLD)[::-1], Tower(), tmp_path)
    np.testing.assert_array_equal(known.text_embedding, heads.text_embedding[::-1])
    for found in (
        known,
        build(make_heads, [free("waving")], Tower(), tmp_path),
        build(make_heads, [], Tower(), tmp_path),
    ):
        for matrix in (found.text, found.bias, found.verb_text, found.text_embedding):
            assert matrix.dtype == np.float32
        assert found.object_index.dtype == np.int64


def test_free_text_has_no_bias_where_nothing_was_trained(make_heads: Make, tmp_path: Path) -> None:
    heads = make_heads(0, len(WORLD.verbs), EMBED)
    words = [free("waving")]
    found = build_classifier(heads, WORLD, words, model_fingerprint="abc", encode=Tower(), cache_dir=tmp_path)
    assert found.bias.tolist() == [0.0]
