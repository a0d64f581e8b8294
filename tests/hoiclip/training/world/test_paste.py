from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from hoiclip.synthetic.scene import draw_picture
from hoiclip.training.losses import layer_losses
from hoiclip.training.matcher import LayerOutputs, match
from hoiclip.training.world.frames import FrameTargets
from hoiclip.training.world.paste import MOST_HIDDEN, UNKNOWN_PAIRS, with_pasted
from hoiclip.vocabulary import load_builtin

WORLD = load_builtin("world")


@pytest.mark.parametrize("seed", range(12))
def test_the_box_of_a_pasted_thing_is_where_pixels_changed(seed: int) -> None:
    picture, annotation = draw_picture(seed)
    before = picture.copy(), copy.deepcopy(annotation)
    changed, noted = with_pasted(picture, annotation, np.random.default_rng(seed))
    assert np.array_equal(picture, before[0]) and annotation == before[1]
    assert UNKNOWN_PAIRS in noted
    ((human, item),) = noted[UNKNOWN_PAIRS]
    assert noted["annotations"][human]["category_id"] == 1 and item == len(annotation["annotations"])
    added = noted["annotations"][item]
    ys, xs = np.nonzero((changed != picture).any(-1))
    found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    assert np.abs(found - added["bbox"]).max() <= 3  # its edge may have the colour of what is behind
    assert noted["hoi_annotation"] == annotation["hoi_annotation"]


def test_other_things_stay_visible_and_equal_draws_give_equal_pictures() -> None:
    picture, annotation = draw_picture(5)
    for seed in range(20):
        changed, noted = with_pasted(picture, annotation, np.random.default_rng(seed))
        again, _ = with_pasted(picture, annotation, np.random.default_rng(seed))
        assert np.array_equal(changed, again)
        if UNKNOWN_PAIRS not in noted:
            continue
        x0, y0, x1, y1 = noted["annotations"][-1]["bbox"]
        for other in annotation["annotations"]:
            a0, b0, a1, b1 = other["bbox"]
            hidden = max(0, min(x1, a1) - max(x0, a0)) * max(0, min(y1, b1) - max(y0, b0))
            assert hidden <= (MOST_HIDDEN + 1e-6) * (a1 - a0) * (b1 - b0)


def test_what_a_pasted_pair_does_is_unknown_and_teaches_boxes_only() -> None:
    picture, annotation = draw_picture(3)
    annotation = {**annotation, "hoi_annotation": []}
    _, noted = with_pasted(picture, annotation, np.random.default_rng(0))
    target = FrameTargets(WORLD).pairs(noted, False)
    assert target.interactions.shape == (1, 30) and bool((target.interactions == -1).all())
    torch.manual_seed(0)
    outputs = LayerOutputs(
        torch.rand(1, 4, 4, requires_grad=True), torch.rand(1, 4, 4, requires_grad=True),
        torch.randn(1, 4, 15, requires_grad=True), torch.randn(1, 4, 30, requires_grad=True),
    )  # fmt: skip
    matches = match(outputs, [target])
    query = int(matches[0][0][0])
    losses = layer_losses(outputs, [target], matches, num_pairs=1.0)
    assert all(bool(torch.isfinite(value)) for value in losses)
    (losses.interaction + losses.object_l1).backward()
    logits, boxes = outputs.interaction_logits.grad, outputs.object_boxes.grad
    assert logits is not None and boxes is not None
    assert bool((logits[0, query] == 0).all())  # neither true nor false
    assert bool((logits[0].abs().sum(1)[torch.arange(4) != query] > 0).all())  # other queries are still told "nothing"
    assert bool((boxes[0, query] != 0).any())


def test_an_unknown_pair_leaves_the_known_pairs_losses_as_they_are() -> None:
    torch.manual_seed(1)
    outputs = LayerOutputs(torch.rand(1, 6, 4), torch.rand(1, 6, 4), torch.randn(1, 6, 15), torch.randn(1, 6, 30))
    known = FrameTargets(WORLD).pairs(draw_picture(1)[1], False)
    unknown = torch.full((1, 30), -1.0)
    both = type(known)(
        torch.cat((known.human_boxes, torch.full((1, 4), 0.5))),
        torch.cat((known.object_boxes, torch.full((1, 4), 0.5))),
        torch.cat((known.object_labels, torch.tensor([3]))),
        torch.cat((known.interactions, unknown)),
    )
    count = len(known.object_labels)
    queries = torch.arange(count)
    alone = layer_losses(outputs, [known], [(queries, queries)], num_pairs=1.0)
    joined = torch.arange(count + 1)
    together = layer_losses(outputs, [both], [(joined, joined)], num_pairs=1.0)
    score = outputs.interaction_logits[0, count].sigmoid().clamp(1e-4, 1 - 1e-4)
    told_nothing = -(0.5 * score**2 * (1 - score).log()).sum() / known.interactions.sum()
    assert float(together.interaction) == pytest.approx(float(alone.interaction - told_nothing), rel=1e-4)
