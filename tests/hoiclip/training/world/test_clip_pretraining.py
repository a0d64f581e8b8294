from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch.nn import functional as F

from hoiclip.config import tiny
from hoiclip.model import HoiClip
from hoiclip.training.stage import StageSettings
from hoiclip.training.world.captions import Captions, Pair
from hoiclip.training.world.clip_pretraining import (
    CaptionRows,
    composition_loss,
    encode_captions,
    soft_contrast,
    spread_texts,
    train_clip,
)
from hoiclip.training.world.recognition import crop_recognition
from hoiclip.training.world.shards import Shards, draw_shards, open_shards
from hoiclip.training.world.views import ViewBatch, Views
from hoiclip.vocabulary import load_builtin

WORLD = load_builtin("world")
SHOWN = [k for k in range(len(WORLD.interactions)) if k not in set(WORLD.unseen["held_out"])]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("drawn")
    draw_shards(folder, first_seed=7_000_000, count=40, workers=1)
    return open_shards(folder)


@pytest.fixture(scope="module")
def captions() -> Captions:
    return Captions(WORLD, SHOWN)


@pytest.fixture(scope="module")
def batch(shards: Shards, captions: Captions) -> ViewBatch:
    return Views(shards, WORLD, captions, 128, 16, 64, seed=3).batch(5)


def test_captions_of_unseen_interactions_are_no_negatives(captions: Captions) -> None:
    for k in WORLD.unseen["held_out"]:
        assert Pair(WORLD.interactions[k].verb, WORLD.interactions[k].object) not in captions.pairs
    assert len(captions.pairs) == 25 + 14
    text = captions.pair(captions.pairs[0], np.random.default_rng(0))
    assert "riding a bicycle" in text
    assert "beside a umbrella" in captions.pair(Pair(12, 4), np.random.default_rng(0))  # as HICO-DET writes it


def test_every_view_says_what_it_shows(batch: ViewBatch, captions: Captions) -> None:
    assert batch.pixels.shape == (64, 3, 128, 128)
    for part in (batch.targets.pairs, batch.targets.verbs, batch.targets.objects):
        sums = part.sum(1)
        assert bool(((sums - 1).abs() < 1e-5).logical_or(sums == 0).all())
    hidden = (batch.targets.verbs.sum(1) > 0) & (batch.targets.objects.sum(1) == 0)
    assert bool((batch.targets.pairs[hidden].sum(1) == 0).all())  # the object is painted over: only the verb is known
    of_pairs = batch.targets.pairs.argmax(1)
    said = batch.targets.pairs.max(1).values == 1.0
    for row in torch.nonzero(said)[:, 0].tolist():
        pair = captions.pairs[int(of_pairs[row])]
        assert batch.targets.verbs[row, pair.verb] == 1.0 and batch.targets.objects[row, pair.object] > 0


def test_regions_lie_where_patches_show_person_and_object(batch: ViewBatch) -> None:
    assert len(batch.region_view) > 20
    for region in range(len(batch.region_view)):
        inside = batch.region_patches[region] > 0
        classes = batch.patch_classes[batch.region_view[region]][inside].sum(0)
        objects = torch.nonzero(batch.region_targets.objects[region])[:, 0]
        assert classes[0] > 0  # the person
        if bool(inside.sum() > 4):  # a small thing may fall between two patches' centres
            assert len(objects) == 1


def test_a_step_gives_the_same_views_whenever_it_is_made(shards: Shards, captions: Captions, batch: ViewBatch) -> None:
    views = Views(shards, WORLD, captions, 128, 16, 64, seed=3)
    views.batch(0)
    again, other = views.batch(5), views.batch(6)
    assert torch.equal(again.pixels, batch.pixels) and torch.equal(
        again.region_targets.pairs, batch.region_targets.pairs
    )
    assert not torch.equal(other.pixels, batch.pixels)


def test_short_captions_are_encoded_as_in_their_full_length() -> None:
    towers = HoiClip(tiny()).clip.eval()
    tokens = SimpleTokenizer()(["a photo of a dog", "a picture of a person who is talking on a cell phone"])
    with torch.no_grad():
        assert torch.allclose(
            encode_captions(towers, tokens), F.normalize(towers.encode_text(tokens), dim=-1), atol=1e-5
        )


def test_texts_differ_from_the_first_step_on(captions: Captions) -> None:
    torch.manual_seed(0)
    towers = HoiClip(tiny()).clip
    texts = SimpleTokenizer()([interaction.prompt for interaction in WORLD.interactions])
    with torch.no_grad():
        before = encode_captions(towers, texts)
        spread_texts(towers)
        after = encode_captions(towers, texts)
    assert float((before @ before.T).mean()) > 0.85
    assert float((after @ after.T).mean()) < 0.75


def test_equal_captions_do_not_satisfy_the_composition_loss() -> None:
    rows = torch.eye(8)
    captions = CaptionRows(rows[:0], rows[:4], rows[4:])
    members = [Pair(1, 2), Pair(3, 0)]
    scale = torch.tensor(14.0)
    composed = F.normalize(torch.stack([rows[1] + rows[6], rows[3] + rows[4]]), dim=-1)
    equal = torch.ones(8, 8) / 8**0.5
    collapsed = composition_loss(equal[:2], CaptionRows(equal[:0], equal[:4], equal[4:]), members, scale)
    assert float(composition_loss(composed, captions, members, scale)) < 0.01
    assert float(collapsed) > 2.5


def test_the_contrast_ranks_what_is_mainly_done_above_what_it_includes() -> None:
    target = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 0.0]])
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = soft_contrast(logits, target)
    loss.backward()
    assert logits.grad is not None
    first, nothing = logits.grad
    assert first[0] < 0 < first[1] < first[2]
    assert torch.equal(nothing, torch.zeros(3))  # a row of zeros says nothing
    assert float(soft_contrast(torch.zeros(2, 3), torch.zeros(2, 3))) == 0.0


def test_sixty_steps_teach_clip_something_and_the_recognition_counts_it(shards: Shards, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = HoiClip(tiny())
    shown: list[dict[str, float]] = []
    settings = StageSettings(60, 2e-3, warm_up=5, bfloat16=False)
    train_clip(
        model.clip, settings, 16, 1, shards, WORLD, SHOWN, tmp_path,
        lambda stage, step, steps, values: shown.append(values),
    )  # fmt: skip
    assert shown[-1]["composition"] < 0.8 * shown[0]["composition"]
    found = crop_recognition(model.eval(), shards, WORLD, WORLD.unseen["held_out"], 40)
    assert found.num_crops >= 40
    assert 0 < found.seen <= min(found.verbs, found.objects)  # a right prompt has the right verb and object
    assert np.isnan(found.unseen)  # the split `train` holds none
