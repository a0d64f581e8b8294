"""Prediction files of others: read, checked and scored by the command."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hoiclip.errors import InputError
from hoiclip.evaluation.picture_files import PictureFiles
from hoiclip.vocabulary import load_builtin
from stream.commands.evaluate import app

PERSON, BICYCLE = [0, 0, 40, 90], [10, 40, 80, 90]


def world_ids() -> tuple[int, int, int]:
    """Return interaction index, verb index and COCO category of "ride bicycle"."""
    world = load_builtin("world")
    index = next(k for k in range(len(world.interactions)) if world.display(k) == "ride bicycle")
    return index, world.interactions[index].verb, world.objects[world.interactions[index].object].coco_id


def picture(boxes_key, pairs_key, pairs, name="a.png"):
    boxes = [{"bbox": PERSON, "category_id": 1}, {"bbox": BICYCLE, "category_id": world_ids()[2]}]
    return {"file_name": name, boxes_key: boxes, pairs_key: pairs}


def write(path, *pictures):
    path.write_text(json.dumps(pictures))
    return path


def truth(tmp_path, *pairs):
    index, verb, _ = world_ids()
    pairs = pairs or [{"subject_id": 0, "object_id": 1, "category_id": verb + 1, "hoi_category_id": index + 1}]
    return write(tmp_path / "a.json", picture("annotations", "hoi_annotation", pairs))


def found(tmp_path, *pairs, name="a.png"):
    return write(tmp_path / "p.json", picture("predictions", "hoi_prediction", pairs, name))


@pytest.mark.parametrize("by_verb", [False, True])
def test_the_command_scores_a_file_that_names_interactions_either_way(tmp_path, by_verb):
    index, verb, _ = world_ids()
    named = {"category_id": verb + 1} if by_verb else {"hoi_category_id": index + 1}
    predictions = found(tmp_path, {"subject_id": 0, "object_id": 1, "score": 0.9, **named})
    options = ["hico", "-p", str(predictions), "-a", str(truth(tmp_path)), "--vocabulary", "world"]
    result = CliRunner().invoke(app, [*options, "--json"])
    document = json.loads(result.stdout)
    assert document["default"]["full"] == 1.0 and document["num_true_pairs"] == 1
    assert document["by_interaction"]["ride bicycle"]["ap"] == 1.0
    assert "default full" in CliRunner().invoke(app, options).stdout


def test_a_verb_that_the_object_does_not_go_with_is_counted_and_left_out(tmp_path):
    world = load_builtin("world")
    odd = next(v for v in range(len(world.verbs)) if not any(i.verb == v and i.object == 0 for i in world.interactions))
    predictions = found(tmp_path, {"subject_id": 0, "object_id": 1, "category_id": odd + 1, "score": 0.9})
    _, pairs, num_outside = PictureFiles.read(truth(tmp_path), predictions).hico_pairs(world)
    assert (len(pairs), num_outside) == (0, 1)


def test_pictures_without_predictions_count_as_empty(tmp_path):
    files = PictureFiles.read(truth(tmp_path), write(tmp_path / "p.json"))
    assert files.num_without_predictions == 1
    assert len(files.hico_pairs(load_builtin("world"))[1]) == 0


def test_vcoco_files_may_have_empty_roles(tmp_path):
    annotations = truth(tmp_path, {"subject_id": 0, "object_id": -1, "category_id": 1})
    predictions = found(tmp_path, {"subject_id": 0, "object_id": None, "category_id": 1, "score": 0.5})
    result = CliRunner().invoke(app, ["vcoco", "-p", str(predictions), "-a", str(annotations), "--json"])
    document = json.loads(result.stdout)
    assert (document["role_ap_scenario_1"], document["role_ap_scenario_2"]) == (1.0, 1.0)
    assert document["by_interaction"]["hold_obj"]["scenario_1"] == 1.0


@pytest.mark.parametrize(
    ("pair", "name", "message"),
    [
        ({"subject_id": 0, "object_id": 1, "hoi_category_id": 1, "score": 0.5}, "b.png", "b.png"),
        (
            {"subject_id": 0, "object_id": 2, "hoi_category_id": 1, "score": 0.5},
            "a.png",
            r"object_id 2 is outside -1…1",
        ),
        ({"subject_id": 0, "object_id": 1, "hoi_category_id": 0, "score": 0.5}, "a.png", r"outside 1…30"),
        ({"subject_id": 0, "object_id": -1, "hoi_category_id": 1, "score": 0.5}, "a.png", "V-COCO"),
        ({"subject_id": 0, "object_id": 1, "hoi_category_id": 1}, "a.png", "score"),
        ({"object_id": 1, "hoi_category_id": 1, "score": 1}, "a.png", "subject_id"),
    ],
)
def test_a_wrong_pair_is_refused_with_file_picture_and_reason(tmp_path, pair, name, message):
    with pytest.raises(InputError, match=message):
        PictureFiles.read(truth(tmp_path), found(tmp_path, pair, name=name)).hico_pairs(load_builtin("world"))


def test_files_that_are_no_list_of_pictures_are_refused(tmp_path):
    good = truth(tmp_path)
    for content in ("{", "{}", "[1]", '[{"file_name": "a.png"}]'):
        (tmp_path / "p.json").write_text(content)
        with pytest.raises(InputError, match=r"p\.json"):
            PictureFiles.read(good, tmp_path / "p.json")
    with pytest.raises(InputError, match=r"missing\.json"):
        PictureFiles.read(good, tmp_path / "missing.json")
    both = json.loads(good.read_text()) * 2
    with pytest.raises(InputError, match="twice"):
        PictureFiles.read(write(good, *both), found(tmp_path))


def test_annotations_of_another_vocabulary_are_refused(tmp_path):
    annotations = truth(tmp_path, {"subject_id": 0, "object_id": 0, "category_id": 1})
    with pytest.raises(InputError, match="--vocabulary"):
        PictureFiles.read(annotations, found(tmp_path)).hico_pairs(load_builtin("world"))
