from __future__ import annotations

import copy

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
    PatchHeads,
    attend_to_likeness,
    caption_rows,
    clip_loss,
    composition_loss,
    encode_captions,
    look_at_edges,
    soft_contrast,
    spread_texts,
    train_clip,
)
from hoiclip.training.world.recognition import crop_recognition
from hoiclip.training.world.shards import Shards, draw_shards, open_shards
from hoiclip.training.world.views import ViewBatch, Views
from hoiclip.vocabulary import load_builtin

pytestmark = pytest.mark.xdist_group("clip_pretraining")  # one worker trains the small model, once
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
    assert captions.pair(captions.pairs[0], 0) == "a photo of a person riding a bicycle"
    assert captions.pair(Pair(12, 4), 5) == "a person beside a umbrella"  # HICO-DET's article
    assert len(set(captions.every_pair)) == 13 * 14


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


def test_attention_begins_with_what_is_alike() -> None:
    torch.manual_seed(0)
    towers = HoiClip(tiny()).clip

    def mean_diagonal() -> float:
        query, key, _ = towers.visual.transformer.resblocks[0].attn.in_proj_weight.chunk(3)
        with torch.no_grad():
            return float(sum((q.T @ k).trace() / 128 for q, k in zip(query.split(32), key.split(32), strict=True)) / 4)

    assert abs(mean_diagonal()) < 0.1
    attend_to_likeness(towers)
    assert mean_diagonal() > 0.3


def test_patches_begin_with_coarse_edges() -> None:
    torch.manual_seed(0)
    towers = HoiClip(tiny()).clip
    look_at_edges(towers)
    flat, fine = torch.ones(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    fine[:, :, ::2] = -1.0  # changes with every row of pixels
    edge = torch.ones(1, 3, 16, 16)
    edge[:, :, 8:] = -1.0
    with torch.no_grad():
        loud = {
            name: float(towers.visual.conv1(x).norm()) for name, x in (("flat", flat), ("edge", edge), ("fine", fine))
        }
    assert loud["flat"] > 1.0 and loud["edge"] > 1.5 * loud["fine"]


@pytest.fixture(scope="module")
def trained(shards: Shards, tmp_path_factory: pytest.TempPathFactory) -> HoiClip:
    torch.manual_seed(1)
    model = HoiClip(tiny())
    words = StageSettings(110, 2e-3, warm_up=5, bfloat16=False)
    sight = StageSettings(3, 1e-3, warm_up=1, bfloat16=False)
    folder = tmp_path_factory.mktemp("clip")
    train_clip(model.clip, words, sight, 16, 1, shards, WORLD, SHOWN, folder, lambda *values: None)
    return model.eval()


def test_words_put_unseen_pairs_where_their_verb_and_object_are(trained: HoiClip, captions: Captions) -> None:
    with torch.no_grad():
        rows = caption_rows(trained.clip, captions, captions.every_pair, 1)
    verbs, objects = (torch.tensor([pair[i] for pair in captions.every_pair]) for i in (0, 1))
    assert float(((rows.pairs @ rows.verbs.T).argmax(1) == verbs).float().mean()) > 0.95
    assert float(((rows.pairs @ rows.objects.T).argmax(1) == objects).float().mean()) > 0.95


def test_the_image_tower_learns_to_answer_the_words(trained: HoiClip, captions: Captions, batch: ViewBatch) -> None:
    towers = copy.deepcopy(trained.clip)
    heads = PatchHeads(128, captions.num_objects, captions.num_verbs - 1)
    with torch.no_grad():
        rows = caption_rows(towers, captions, captions.pairs, 0)
    optimizer = torch.optim.AdamW([*towers.visual.parameters(), *heads.parameters()], 1e-3)
    losses = []
    for _ in range(12):
        found = clip_loss(towers, heads, rows, batch)
        optimizer.zero_grad()
        found["total"].backward()
        optimizer.step()
        losses.append({name: value.item() for name, value in found.items()})
    for name in ("whole", "region", "patch"):
        assert losses[-1][name] < 0.95 * losses[0][name], name


def test_recognition_counts_a_prompt_as_right_only_with_verb_and_object(trained: HoiClip, shards: Shards) -> None:
    found = crop_recognition(trained, shards, WORLD, WORLD.unseen["held_out"], 40)
    assert found.num_crops >= 40
    assert 0 <= found.seen <= min(found.verbs, found.objects) < 0.9
    assert np.isnan(found.unseen)  # the split `train` holds none
