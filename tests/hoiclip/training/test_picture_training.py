"""Training on annotated picture files: augmentation, accumulation, several processes, kill and resume."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import multiprocessing

from hoiclip.config import tiny
from hoiclip.errors import InputError
from hoiclip.model import HoiClip
from hoiclip.synthetic.dataset import write_pictures
from hoiclip.training.augment import Augmentation, cropped, mirrored, resized
from hoiclip.training.config import PictureTrainConfig, load_train_config
from hoiclip.training.distributed import World
from hoiclip.training.losses import Totals
from hoiclip.training.matcher import PairTargets
from hoiclip.training.picture_training import PictureRecipe, load_detector, train_pictures
from hoiclip.training.pictures import Annotated, PictureData
from hoiclip.training.run import train
from hoiclip.training.stage import StageSettings
from hoiclip.vocabulary import load_builtin
from hoiclip.weights import TorchModel, load_torch_model

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.xdist_group("picture_training")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    write_pictures(path, 3, 16, height=64, width=112, split="train")
    return path


def configuration(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return {
        "data": {
            "kind": "pictures", "vocabulary": "world",
            "annotations": str(folder / "annotations.json"), "pictures": str(folder),
        },
        "model": {"layout": "tiny"},
        "out": str(out), "steps": 3, "batch_size": 4, "lr": 1e-4, "workers": 2, "verb_examples": 2,
        "augmentation": {"scales": [64], "before_crop": [], "longest": 128},
        **changes,
    }  # fmt: skip


def quiet(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
    pass


def run(folder: Path, out: Path, **changes: Any) -> dict[str, torch.Tensor]:
    config = PictureTrainConfig.model_validate(configuration(folder, out, **changes))
    return load_torch_model(train(config, out, quiet)).module.state_dict()


def marked(width: int = 90, height: int = 60) -> Annotated:
    """A grey picture with a red human and a blue object."""
    boxes = np.array([[10, 12, 30, 50], [40, 20, 60, 36]], np.float32)
    pixels = np.full((height, width, 3), 128, np.uint8)
    for (x0, y0, x1, y1), colour in zip(boxes.astype(int), ((255, 0, 0), (0, 0, 255)), strict=True):
        pixels[y0:y1, x0:x1] = colour
    return Annotated(Image.fromarray(pixels), boxes, np.array([[0, 1, 2]], np.int64))


def coloured(item: Annotated, channel: int) -> list[float]:
    """The extent of what is red (0) or blue (2)."""
    pixels = np.asarray(item.picture).astype(int)
    y, x = np.nonzero(pixels[..., channel] - pixels[..., 1] > 64)
    return [x.min(), y.min(), x.max() + 1, y.max() + 1]


@pytest.mark.parametrize(
    "change",
    [
        mirrored,
        lambda item: resized(item, 120, None),
        lambda item: resized(item, 120, 130),
        lambda item: cropped(item, (20, 10, 55, 40)),
        lambda item: resized(mirrored(cropped(item, (5, 5, 85, 50))), 90, None),
    ],
)
def test_boxes_stay_on_their_pixels(change: Any) -> None:
    item = change(marked())
    assert len(item.pairs) == 1
    for box, channel in zip(item.boxes, (0, 2), strict=True):
        assert np.abs(box - coloured(item, channel)).max() <= 1.5


def test_a_pair_goes_with_a_box_that_leaves_the_crop() -> None:
    assert len(cropped(marked(), (0, 0, 35, 60)).pairs) == 0
    assert len(cropped(marked(), (0, 0, 45, 60)).pairs) == 1


def test_augmentation_stays_within_its_sizes_and_repeats() -> None:
    augment = Augmentation(scales=(48, 64), longest=90, before_crop=(40, 50), crop=(38, 60))
    sizes = set()
    for seed in range(30):
        first, again = (augment(marked(), np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(np.asarray(first.picture), np.asarray(again.picture))
        assert np.array_equal(first.boxes, again.boxes)
        sizes.add(first.picture.size)
        assert max(first.picture.size) <= 90
    assert len(sizes) > 5


def test_hico_and_vcoco_files_are_read_in_one_form(tmp_path: Path) -> None:
    boxes = [{"bbox": [0, 0, 5, 9], "category_id": 1}, {"bbox": [2, 2, 6, 6], "category_id": 47}]
    hico, vcoco = load_builtin("hico"), load_builtin("vcoco")
    cup = next(k for k, i in enumerate(vcoco.interactions) if vcoco.objects[i.object].coco_id == 47)
    alone = next(k for k, i in enumerate(vcoco.interactions) if vcoco.objects[i.object].coco_id is None)
    notes = [
        {"subject_id": 0, "object_id": 1, "category_id": vcoco.interactions[cup].verb + 1},
        {"subject_id": 0, "object_id": -1, "category_id": vcoco.interactions[alone].verb + 1},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"file_name": "x.jpg", "annotations": boxes, "hoi_annotation": notes}]))
    assert PictureData(path, tmp_path, vcoco).pairs(0) == [(0, 1, cup), (0, -1, alone)]
    note = {"subject_id": 0, "object_id": 1, "category_id": 1, "hoi_category_id": 600}
    path.write_text(json.dumps([{"file_name": "x.jpg", "annotations": boxes, "hoi_annotation": [note]}]))
    data = PictureData(path, tmp_path, hico)
    assert data.pairs(0) == [(0, 1, 599)]
    with pytest.raises(InputError, match=r"x\.jpg: cannot be read as a picture"):
        data[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"hoi_category_id": 700}, "no interaction of the vocabulary"), ({"object_id": 7}, "must be indices")],
)
def test_annotations_that_do_not_fit_are_refused(change: dict[str, int], message: str, tmp_path: Path) -> None:
    note = {"subject_id": 0, "object_id": 0, "category_id": 1, "hoi_category_id": 1, **change}
    boxes = [{"bbox": [0, 0, 5, 9], "category_id": 1}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"file_name": "x.jpg", "annotations": boxes, "hoi_annotation": [note]}]))
    with pytest.raises(InputError, match=message):
        PictureData(path, tmp_path, load_builtin("hico"))


@pytest.mark.parametrize("name", ["hico", "vcoco", "world"])
def test_the_shipped_configurations_are_valid(name: str) -> None:
    config = load_train_config(ROOT / "configs" / "train" / f"{name}.yaml")
    assert isinstance(config, PictureTrainConfig) == (name != "world")


def test_two_hundred_steps_reduce_the_loss(folder: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    changes = {"steps": 200, "batch_size": 2, "lr": 3e-4, "backbone_lr": 3e-4, "checkpoint_every": 200}
    config = PictureTrainConfig.model_validate(configuration(folder, tmp_path, **changes))
    train(config, tmp_path, lambda stage, step, steps, values: losses.append(values["total"]))
    assert len(losses) == 8
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_a_killed_run_ends_with_the_same_weights(folder: Path, tmp_path: Path) -> None:
    changes = {"steps": 24, "checkpoint_every": 4, "batch_size": 2}
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(configuration(folder, tmp_path / "killed", **changes)))
    assert isinstance(load_train_config(path), PictureTrainConfig)
    command = [sys.executable, "-m", "hoistream", "train", str(path), "--threads", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed" / "pictures.pt"
    deadline = time.monotonic() + 90
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert 0 < torch.load(checkpoint, weights_only=True)["step"] < 24
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    resumed, undisturbed = run(folder, tmp_path / "killed", **changes), run(folder, tmp_path / "whole", **changes)
    torch.set_num_threads(before)
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


# Pictures of several sizes: parts that were padded by themselves would give other gradients than the whole step.
SIZES = {"augmentation": {"scales": [48, 64], "before_crop": [56, 72], "crop": [40, 72], "longest": 128}}
DESCENT = {"lr": 0.05, "backbone_lr": 0.05, "clip_norm": 10.0, "batch_size": 8}


def plain_descent(parameters: Any, weight_decay: float) -> torch.optim.Optimizer:
    """In place of AdamW, which makes a step of any rounding error; here steps are as large as gradients."""
    return torch.optim.SGD(parameters, weight_decay=weight_decay)


def test_accumulated_parts_equal_one_batch(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim, "AdamW", plain_descent)
    changes = {**DESCENT, **SIZES}
    whole = run(folder, tmp_path / "whole", **changes)
    parts = run(folder, tmp_path / "parts", accumulate=4, **changes)
    start = run(folder, tmp_path / "start", **{**changes, "lr": 1e-9, "backbone_lr": 1e-9})
    moved = max(float((whole[name] - start[name]).abs().max()) for name in whole)
    apart = max(float((whole[name] - parts[name]).abs().max()) for name in whole)
    assert moved > 0.01
    assert apart < 1e-5


def _one_of_two(rank: int, port: int, config: dict[str, Any]) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(port))  # fmt: skip
    torch.set_num_threads(1)
    torch.optim.AdamW = plain_descent  # type: ignore[misc,assignment]
    train(PictureTrainConfig.model_validate(config), Path(config["out"]), quiet)


def test_two_processes_equal_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {**DESCENT, **SIZES}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(  # type: ignore[attr-defined]
        _one_of_two, (port, configuration(folder, tmp_path / "two", **changes)), nprocs=2
    )
    two = load_torch_model(tmp_path / "two" / "model.safetensors").module.state_dict()
    monkeypatch.setattr(torch.optim, "AdamW", plain_descent)
    one = run(folder, tmp_path / "one", **changes)
    start = run(folder, tmp_path / "start", **{**changes, "lr": 1e-9, "backbone_lr": 1e-9})
    moved = max(float((one[name] - start[name]).abs().max()) for name in one)
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert moved > 0.01
    assert apart < 1e-5


def test_totals_count_what_the_losses_are_divided_by() -> None:
    target = PairTargets(
        torch.rand(2, 4), torch.tensor([[0.5, 0.5, 0.1, 0.1], [0, 0, 0, 0]]), torch.zeros(2, dtype=torch.int64),
        torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    )  # fmt: skip
    assert Totals.of([target, target], 24) == Totals(4, 6, 2, 48)


def test_values_go_to_tensorboard(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(folder, tmp_path / "run", steps=1, tensorboard=str(tmp_path / "board"))
    assert any(file.stat().st_size > 0 for file in (tmp_path / "board").iterdir())


def test_tensorboard_that_is_missing_is_said_before_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"tensorboard: not installed; pip install 'hoistream\[train\]'"):
        run(folder, tmp_path / "run", tensorboard=str(tmp_path / "board"))
    assert not (tmp_path / "run").exists()


def test_continuing_a_model_keeps_its_trained_rows(folder: Path, tmp_path: Path, tiny_path: Path) -> None:
    before = load_torch_model(tiny_path).heads
    changes = {"model": {"init": str(tiny_path)}, "steps": 1, "lr": 1e-12, "backbone_lr": 1e-12}
    run(folder, tmp_path, **changes)
    after = load_torch_model(tmp_path / "model.safetensors").heads
    for name in ("interaction_text", "interaction_bias", "verb_text", "verb_to_interaction"):
        assert np.allclose(getattr(before, name), getattr(after, name), atol=1e-6), name


def test_detector_weights_are_taken_and_checked(tmp_path: Path) -> None:
    world = load_builtin("world")
    model = HoiClip(tiny(len(world.objects), len(world.interactions), len(world.verbs)))
    path = tmp_path / "detr.safetensors"
    save_file({"input_proj.bias": torch.full((128,), 3.0)}, path)
    assert load_detector(model, path) == 1
    assert bool((model.input_proj.bias == 3).all())
    save_file({"input_proj.bias": torch.zeros(256)}, path)
    with pytest.raises(InputError, match=r"input_proj\.bias does not fit the model tiny"):
        load_detector(model, path)


def write_pairs(path: Path, notes: list[dict[str, int]], category: int = 47) -> Path:
    """One picture x.jpg with a person and an object of a COCO category."""
    boxes = [{"bbox": [0, 0, 5, 9], "category_id": 1}, {"bbox": [2, 2, 6, 6], "category_id": category}]
    path.write_text(json.dumps([{"file_name": "x.jpg", "annotations": boxes, "hoi_annotation": notes}]))
    return path


def test_verbs_may_count_from_zero(tmp_path: Path) -> None:
    vcoco = load_builtin("vcoco")
    cups = [k for k, i in enumerate(vcoco.interactions) if vcoco.objects[i.object].coco_id == 47]
    verbs = [vcoco.interactions[k].verb for k in cups]
    assert 0 in verbs  # holding a cup
    notes = [{"subject_id": 0, "object_id": 1, "category_id": verb} for verb in verbs]
    data = PictureData(write_pairs(tmp_path / "a.json", notes), tmp_path, vcoco)
    assert [interaction for _, _, interaction in data.pairs(0)] == cups


def test_few_unknown_pairs_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vcoco = load_builtin("vcoco")
    cup = next(k for k, i in enumerate(vcoco.interactions) if vcoco.objects[i.object].coco_id == 47)
    known = {"subject_id": 0, "object_id": 1, "category_id": vcoco.interactions[cup].verb + 1}
    read = {i.verb for i in vcoco.interactions if vcoco.objects[i.object].coco_id == 47}
    odd = {**known, "category_id": next(v for v in range(len(vcoco.verbs)) if v not in read) + 1}
    path = write_pairs(tmp_path / "a.json", [known] * 12 + [odd])
    assert PictureData(path, tmp_path, vcoco).pairs(0) == [(0, 1, cup)] * 12
    assert "1 of 13 pairs are no interaction of the vocabulary vcoco" in caplog.text
    with pytest.raises(InputError, match="2 of 3 pairs are no interaction"):
        PictureData(write_pairs(path, [known, odd, odd]), tmp_path, vcoco)


def test_hidden_interactions_are_never_shown(folder: Path) -> None:
    world, path = load_builtin("world"), folder / "annotations.json"
    everything = PictureData(path, folder, world)
    hidden = frozenset(k for _, _, k in everything.pairs(0))
    rest = PictureData(path, folder, world, hidden=hidden)
    assert len(rest) < len(everything)
    assert not hidden & {k for index in range(len(rest)) for _, _, k in rest.pairs(index)}


def test_boxes_over_the_edge_are_cut(folder: Path) -> None:
    item = marked()
    wide = Annotated(item.picture, item.boxes + np.array([-15, 0, 0, 40], np.float32), item.pairs)
    plain = Augmentation(scales=(60,), longest=90, before_crop=(), colour=0.0)
    boxes = plain(wide, np.random.default_rng(0)).boxes
    assert boxes.min() >= 0
    assert (boxes <= [90, 60, 90, 60]).all()


def test_fewer_pictures_than_processes_are_refused(folder: Path, tmp_path: Path, tiny_loaded: TorchModel) -> None:
    data = PictureData(folder / "annotations.json", folder, load_builtin("world"))
    recipe = PictureRecipe(StageSettings(1, 1e-4), batch_size=2)
    with pytest.raises(InputError, match="2 pictures for 3 processes"):
        train_pictures(tiny_loaded.module, data, recipe, World(size=3), tmp_path, quiet)
