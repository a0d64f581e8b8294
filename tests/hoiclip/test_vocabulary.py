from __future__ import annotations

from pathlib import Path

import pytest

from hoiclip.errors import InputError
from hoiclip.vocabulary import all_of, find_pair, find_verb, load_builtin, load_deployment, templates_of

HICO = load_builtin("hico")


def vocabulary(folder: Path, text: str) -> Path:
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "counts"), [("hico", (117, 80, 600)), ("vcoco", (29, 81, 263)), ("world", (12, 14, 30))]
)
def test_built_in_vocabularies_have_the_published_sizes(name: str, counts: tuple[int, int, int]) -> None:
    known = load_builtin(name)
    assert (len(known.verbs), len(known.objects), len(known.interactions)) == counts
    assert len({known.display(i) for i in range(counts[2])}) == counts[2]


def test_hico_has_138_rare_interactions_and_names_from_the_data_set() -> None:
    assert len(HICO.rare) == 138
    assert HICO.display(0) == "board airplane"
    assert HICO.interactions[0].prompt == "a photo of a person boarding an airplane"


def test_an_unknown_built_in_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="hico, vcoco, world"):
        load_builtin("coco")


def test_names_groups_and_free_text_become_rows_in_order_without_repeats(tmp_path: Path) -> None:
    path = vocabulary(
        tmp_path,
        "interactions:\n  - Ride_Bicycle\n  - verb: ride\n    object: bicycle\n  - verb: walk\n"
        "  - text: a person  carrying a ladder\n    object: any\n"
        "  - text: a person juggling\n    object: sports ball\n",
    )
    rows = load_deployment(path, HICO)
    names = [row.name for row in rows]
    assert names[0] == "ride bicycle"
    assert names.count("ride bicycle") == 1
    assert {n for n in names if n.startswith("walk ")} == {
        HICO.display(i) for i in range(600) if HICO.verbs[HICO.interactions[i].verb].name == "walk"
    }
    ladder, juggle = rows[-2:]
    assert (ladder.name, ladder.known, ladder.object) == ("a person carrying a ladder", None, None)
    assert ladder.verb is not None
    assert HICO.verbs[ladder.verb].name == "carry"
    assert juggle.verb is None
    assert juggle.object is not None
    assert HICO.objects[juggle.object].name == "sports ball"


MISTAKES = {
    "interactions:\n  - ride bicycle\n  - ride bycicle\n": r"3: unknown interaction .*; did you mean `ride bicycle`\?",
    "interactions:\n\n  - text: at a reader\n    object: handbagg\n": r"3: unknown object .*; did you mean `handbag`\?",
    "interactions:\n  - verb: carrry\n": r"2: unknown verb `carrry`; did you mean `carry`\?",
    "interactions:\n  - verb: ride\n    object: pizza\n": r"2: no known interaction has verb `ride` and object `pizza`",
    "interactions:\n  - verbs: ride\n": r"2: unknown key .*did you mean `verb`\?",
    "interactions: []\n": r"1: `interactions`: .*at least 1",
    "interactions:\n  - ride bicycle\ntemplates: ['a photo']\n": r"\d: .*must hold \{\} exactly once",
    "interactions:\n  - text: a\n    verb: ride\n": r"2: .*expected a name, or one of",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_names_file_and_line_and_suggests(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"my\.yaml:" + MISTAKES[text]):
        load_deployment(vocabulary(tmp_path, text), HICO)


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected `key: value` lines"):
        load_deployment(vocabulary(tmp_path, "- ride bicycle\n"), HICO)


def test_templates_default_to_the_text_alone(tmp_path: Path) -> None:
    assert templates_of(vocabulary(tmp_path, "interactions: [ride bicycle]\n")) == ["{}"]


def test_the_longest_verb_phrase_in_a_text_wins() -> None:
    verb = find_verb("a person talking on a cell phone", HICO)
    assert verb is not None
    assert HICO.verbs[verb].name == "talk_on"
    assert find_verb("a person contemplating eternity", HICO) is None


def test_all_of_a_vocabulary_are_known_rows() -> None:
    assert [row.known for row in all_of(HICO)] == list(range(600))


@pytest.mark.parametrize("text", ["a person tapping a screen and a keyboard", "a man and a dog"])
def test_free_text_with_an_and_is_not_taken_for_no_interaction(tmp_path: Path, text: str) -> None:
    assert find_verb(text, HICO) is None
    (row,) = load_deployment(vocabulary(tmp_path, f"interactions:\n  - text: {text}\n"), HICO)
    assert row.verb is None


def test_a_comma_does_not_hide_a_verb() -> None:
    found = find_verb("a person carrying, slowly, a ladder", HICO)
    assert found is not None
    assert HICO.verbs[found].name == "carry"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interactions:\n", r"my\.yaml:1: `interactions`"),
        ("interactions:\n  - text:\n    object: dog\n", r"my\.yaml:2: .*`text` is empty"),
        ('interactions:\n  - text: "  "\n', r"my\.yaml:2: .*`text` is empty"),
        ("interactions:\n  - {name: ride bicycle, object: dog}\n", r"my\.yaml:2: .*`name` already fixes its object"),
        ("interactions:\n  - {taught: x, object: dog}\n", r"my\.yaml:2: .*`taught` already fixes its object"),
        ("interactions:\n  - text: !!python/name:os.system x\n", r"my\.yaml:2: not a plain value"),
    ],
)
def test_what_says_nothing_or_too_much_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_deployment(vocabulary(tmp_path, text), HICO)


@pytest.mark.parametrize(
    "text", ["push motorcycle", "push_motorcycle", "a person pushing a motorcycle", "Pushing the motorcycle!"]
)
def test_a_name_and_a_phrase_mean_one_pair(text: str) -> None:
    world = load_builtin("world")
    verb, item = find_pair(text, world) or (-1, -1)
    assert (world.verbs[verb].name, world.objects[item].name) == ("push", "motorcycle")


@pytest.mark.parametrize("text", ["pushing something", "a motorcycle", "tapping a badge", ""])
def test_text_without_a_known_verb_and_object_is_no_pair(text: str) -> None:
    assert find_pair(text, load_builtin("world")) is None
