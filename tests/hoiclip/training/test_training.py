from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hoiclip.training.data import Order
from hoiclip.training.losses import focal, layer_losses
from hoiclip.training.matcher import LayerOutputs, PairTargets, match
from hoiclip.training.stage import StageSettings, learning_rate, run_stage
from hoiclip.training.verbs import verb_classifier
from hoiclip.vocabulary import load_builtin

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "golden_training.npz"


def golden_case(case: str) -> tuple[LayerOutputs, list[PairTargets], dict[str, np.ndarray]]:
    arrays = dict(np.load(GOLDEN))
    tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
    outputs = LayerOutputs(
        tensors["outputs/human_boxes_cxcywh"],
        tensors["outputs/object_boxes_cxcywh"],
        tensors["outputs/object_logits"],
        tensors["outputs/hoi_logits"],
    )
    names = ("human_boxes_cxcywh", "object_boxes_cxcywh", "object_labels", "hoi_labels")
    targets = [PairTargets(*(tensors[f"{case}/image{i}/{name}"] for name in names)) for i in (0, 1)]
    return outputs, targets, arrays


@pytest.mark.parametrize("case", ["pairs_3_2", "pairs_3_0"])
def test_matching_and_losses_equal_the_published_ones(case: str) -> None:
    outputs, targets, arrays = golden_case(case)
    matches = match(outputs, targets)
    for index, (queries, rows) in enumerate(matches):
        expected = arrays[f"{case}/image{index}/match_query_target"]
        assert np.array_equal(torch.stack((queries, rows)).numpy(), expected)
    num_pairs = sum(len(target.object_labels) for target in targets)
    losses = layer_losses(outputs, targets, matches, num_pairs=num_pairs)
    for name, value in losses._asdict().items():
        assert float(value) == pytest.approx(float(arrays[f"{case}/loss/{name}"]), rel=1e-5)


def slow_match_cost(outputs: LayerOutputs, target: PairTargets, image: int, query: int, row: int) -> float:
    """The matching cost of one query and one target, written out."""

    def corners(box: torch.Tensor) -> list[float]:
        cx, cy, w, h = (float(v) for v in box)
        return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]

    def giou(a: torch.Tensor, b: torch.Tensor) -> float:
        p, q = corners(a), corners(b)
        width = max(0.0, min(p[2], q[2]) - max(p[0], q[0]))
        height = max(0.0, min(p[3], q[3]) - max(p[1], q[1]))
        inside = width * height
        union = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - inside
        hull = (max(p[2], q[2]) - min(p[0], q[0])) * (max(p[3], q[3]) - min(p[1], q[1]))
        return inside / union - (hull - union) / hull

    p = outputs.interaction_logits[image, query].sigmoid()
    label = target.interactions[row]
    interaction = -(float(p[label == 1].mean()) + float((1 - p)[label == 0].mean())) / 2
    thing = -float(outputs.object_logits[image, query].softmax(-1)[target.object_labels[row]])
    human, other = outputs.human_boxes[image, query], outputs.object_boxes[image, query]
    l1 = max(
        float((human - target.human_boxes[row]).abs().sum()), float((other - target.object_boxes[row]).abs().sum())
    )
    overlap = max(-giou(human, target.human_boxes[row]), -giou(other, target.object_boxes[row]))
    return interaction + 2.5 * l1 + overlap + thing


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_the_matching_is_the_cheapest_of_all(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    queries, objects, interactions = 4, 3, 5
    outputs = LayerOutputs(
        rand(1, queries, 4) * 0.4 + 0.3,
        rand(1, queries, 4) * 0.4 + 0.3,
        rand(1, queries, objects + 1) * 4,
        rand(1, queries, interactions) * 4 - 2,
    )
    labels = torch.zeros(count, interactions)
    labels[torch.arange(count), torch.arange(count) % interactions] = 1
    labels[0, 4] = 1
    target = PairTargets(rand(count, 4) * 0.4 + 0.3, rand(count, 4) * 0.4 + 0.3, (rand(count) * objects).long(), labels)
    found_queries, found_rows = match(outputs, [target])[0]

    def total(pairs: list[tuple[int, int]]) -> float:
        return sum(slow_match_cost(outputs, target, 0, q, r) for q, r in pairs)

    best = min(
        total(list(zip(order, range(count), strict=True))) for order in itertools.permutations(range(queries), count)
    )
    assert total(list(zip(found_queries.tolist(), found_rows.tolist(), strict=True))) == pytest.approx(best, abs=1e-4)


def test_the_focal_loss_is_cornernets() -> None:
    logits, labels = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[1.0, 0.0, 0.0]])
    p = logits.sigmoid()
    expected = -(0.5 * (1 - p[0, 0]) ** 2 * p[0, 0].log() + sum(0.5 * q**2 * (1 - q).log() for q in p[0, 1:]))
    assert float(focal(logits, labels)) == pytest.approx(float(expected), rel=1e-6)


def test_images_without_pairs_give_finite_losses() -> None:
    outputs = LayerOutputs(torch.rand(1, 4, 4), torch.rand(1, 4, 4), torch.randn(1, 4, 3), torch.randn(1, 4, 5))
    empty = PairTargets(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 5))
    losses = layer_losses(outputs, [empty], match(outputs, [empty]), num_pairs=1.0)
    assert all(torch.isfinite(value) for value in losses)
    assert float(losses.human_l1) == 0.0


def test_the_order_visits_every_picture_once_an_epoch_and_depends_on_the_step_alone() -> None:
    order = Order(count=20, batch_size=5, seed=3)
    assert sorted(i for step in range(4) for i in order.indices(step)) == list(range(20))
    assert order.indices(6) == Order(20, 5, 3).indices(6)
    assert order.indices(0) != order.indices(4)


def test_the_rate_warms_up_and_falls() -> None:
    settings_ = StageSettings(steps=100, lr=1.0, warm_up=10)
    rates = [learning_rate(settings_, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02


class KilledError(Exception):
    pass


def train_small(directory: Path, steps: int, stop_at: int | None = None) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Learn a small regression; raise KilledError in the middle of step `stop_at`."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
    shown: list[float] = []

    def batch(step: int) -> tuple[int, torch.Tensor]:
        return step, torch.from_numpy(np.random.default_rng(step).normal(size=(16, 4)).astype(np.float32))

    def loss(item: tuple[int, torch.Tensor]) -> dict[str, torch.Tensor]:
        step, x = item
        if step == stop_at:
            raise KilledError
        return {"total": ((net(x)[:, 0] - x.sum(1)) ** 2).mean()}

    chosen = StageSettings(steps, 5e-2, warm_up=10, average=0.9, bfloat16=False, checkpoint_every=20)
    run_stage(
        "small",
        net,
        [{"params": list(net.parameters())}],
        chosen,
        batch,
        loss,
        directory,
        lambda *a: shown.append(a[3]["total"]),
    )
    return net.state_dict(), shown


def test_training_reduces_the_loss_and_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    expected, losses = train_small(whole, 200)
    assert losses[-1] < 0.5 * losses[0]
    with pytest.raises(KilledError):
        train_small(broken, 200, stop_at=117)
    resumed, _ = train_small(broken, 200)
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_verb_rows_are_what_person_and_object_show_less_the_object() -> None:
    world = load_builtin("world")
    rng = np.random.default_rng(0)
    thing = {i: rng.normal(size=16) for i in range(len(world.objects))}
    verb = {i: rng.normal(size=16) for i in range(len(world.verbs))}
    labels = [i for i in range(len(world.interactions)) for _ in range(5)]
    union = [thing[world.interactions[i].object] + verb[world.interactions[i].verb] for i in labels]
    alone = [thing[world.interactions[i].object] for i in labels]
    rows = verb_classifier(
        torch.tensor(np.array(union), dtype=torch.float32),
        torch.tensor(np.array(alone), dtype=torch.float32),
        torch.tensor(labels),
        world,
    ).numpy()
    norms = np.linalg.norm(rows, axis=1)
    assert np.allclose(norms, 1, atol=1e-5)
    unit = {i: v / np.linalg.norm(v) for i, v in verb.items()}
    right = sum(int(np.argmax([rows[i] @ unit[j] for j in unit])) == i for i in range(len(world.verbs)))
    assert right >= len(world.verbs) - 2


@pytest.mark.slow
def test_the_whole_recipe_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hoiclip.training.config import TrainConfig
    from hoiclip.training.run import train_from
    from hoiclip.weights import load_torch_model

    def config(out: Path) -> TrainConfig:
        stage = {"steps": 2, "lr": 1e-4, "warm_up": 1, "bfloat16": False}
        stages = dict.fromkeys(("words", "clip", "coarse", "fine", "queries", "whole"), stage)
        data = {"directory": tmp_path / "data", "pictures": 24, "workers": 1}
        return TrainConfig.model_validate(
            {"data": data, "out": out, "batch_size": 2, "clip_batch": 8, "cached_pictures": 8, **stages}
        )

    def quiet(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
        pass

    one = load_torch_model(train_from(config(tmp_path / "one"), tmp_path / "one", quiet))
    two = load_torch_model(train_from(config(tmp_path / "two"), tmp_path / "two", quiet))
    assert one.fingerprint == two.fingerprint
    (tmp_path / "two" / "whole.pt").unlink()
    again = load_torch_model(train_from(config(tmp_path / "two"), tmp_path / "two", quiet))
    assert again.fingerprint == one.fingerprint
    assert one.classifier().names == load_torch_model(tmp_path / "one").classifier().names
