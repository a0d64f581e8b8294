from __future__ import annotations

import argparse
import gzip
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hoiclip.checkpoint import convert, convert_detr, read_state_dict
from hoiclip.config import hoiclip_r50_hico
from hoiclip.errors import InputError
from hoiclip.model import HoiClip
from stream.commands.convert import convert as command

MANIFEST = Path(__file__).resolve().parents[1] / "golden" / "manifest_hico.json.gz"


def official(interactions: int = 600, verbs: int = 117, objects: int = 80) -> dict[str, Tensor]:
    """The official keys with storage-free tensors of the right shapes."""
    with gzip.open(MANIFEST, "rt") as file:
        entries = json.load(file)
    sizes = {600: interactions, 117: verbs, 81: objects + 1}
    state = {}
    for entry in entries:
        head = "projection" in entry["key"] or "verb2hoi" in entry["key"]
        shape = [sizes.get(n, n) if head else n for n in entry["shape"]]
        state[entry["key"]] = torch.zeros(1).expand(shape) if shape else torch.zeros(())
    return state


def test_hico_is_recognised_and_every_key_is_placed_or_named() -> None:
    state = official()
    converted = convert(state, "x.pth")
    assert converted.variant == "HICO-DET"
    assert converted.config == hoiclip_r50_hico()
    assert any("interaction_decoder" in key for key in converted.dropped)
    assert any(key.endswith("norm4.weight") for key in converted.dropped)
    assert "verb2hoi_proj_eval" in converted.dropped  # for zero-shot evaluation only
    heads = 4  # visual_projection weight and bias, verb_projection, verb2hoi_proj
    assert len(converted.weights) + len(converted.dropped) + heads == len(state)


def test_vcoco_is_recognised_by_its_shapes() -> None:
    converted = convert(official(263, 29, 81), "x.pth")
    assert converted.variant == "V-COCO"
    assert converted.config.verb_weight == 0.1
    assert converted.config.num_objects == 81
    assert converted.vocabulary.name == "vcoco"


def test_zero_shot_classifiers_replace_the_trained_ones() -> None:
    state = official(480)
    state["eval_visual_projection.weight"] = torch.ones(600, 512)
    state["verb2hoi_proj_eval"] = torch.ones(117, 600)
    converted = convert(state, "x.pth")
    assert converted.variant == "HICO-DET, zero-shot"
    assert converted.heads.interaction_text.min() == 1
    assert not converted.heads.interaction_bias.any()
    assert converted.heads.verb_to_interaction.shape == (117, 600)
    assert {"visual_projection.weight", "visual_projection.bias", "verb2hoi_proj"} < set(converted.dropped)


def test_half_precision_becomes_single() -> None:
    state = {k: v.half() if k.startswith("clip_model.") else v for k, v in official().items()}
    assert {v.dtype for v in convert(state, "x.pth").weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("input_proj.weight"), "missing input_proj.weight"),
        (lambda s: s.update({"surprise": torch.zeros(1)}), "unexpected surprise"),
        (
            lambda s: s.update({"input_proj.bias": torch.zeros(7)}),
            r"`input_proj.bias` has shape \[7\], expected \[256\]",
        ),
        (lambda s: s.pop("verb_projection.weight"), "`verb_projection.weight` is missing"),
        (lambda s: s.update({"visual_projection.weight": torch.zeros(5, 512)}), "fit neither HICO-DET"),
        (
            lambda s: s.update({"visual_projection.weight": torch.zeros(600, 300)}),
            r"\[600, 300\], expected \[600, 512\]",
        ),
        (lambda s: s.update({"visual_projection.bias": torch.zeros(7)}), r"shape \[7\], expected \[600\]"),
        (lambda s: s.update({"verb_projection.weight": torch.zeros(117, 300)}), r"expected \[117, 512\]"),
        (lambda s: s.update({"query_embed_h.weight": torch.zeros(64)}), r"shape \[64\], expected two dimensions"),
        (lambda s: (s.clear(), s.update({"class_embed.weight": torch.zeros(92, 256)})), "a DETR checkpoint.*--detr"),
        (lambda s: (s.clear(), s.update({"layer": torch.zeros(1)})), "not a HOICLIP checkpoint"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(change: object, message: str) -> None:
    state = official()
    change(state)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        convert(state, "some.pth")
    assert "\n" not in str(caught.value)
    assert "some.pth" in str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/hoistream-was-here",)


def test_a_file_that_is_no_checkpoint_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    marker = Path("/tmp/hoistream-was-here")
    marker.unlink(missing_ok=True)
    good = tmp_path / "good.pth"
    torch.save({"model": {"a": torch.zeros(1000)}}, good)
    assert list(read_state_dict(good)) == ["a"]
    files = {"truncated.pth": good.read_bytes()[:500], "text.pth": b"hello", "empty.pth": b""}
    files["evil.pth"] = pickle.dumps(Evil())
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=name) as caught:
            read_state_dict(path)
        assert "\n" not in str(caught.value)
    torch.save({"model": {"a": Evil()}}, tmp_path / "evil2.pth")
    with pytest.raises(InputError, match="never run"):
        read_state_dict(tmp_path / "evil2.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        read_state_dict(tmp_path / "list.pth")
    with pytest.raises(InputError, match="no such file"):
        read_state_dict(tmp_path / "missing.pth")
    assert not marker.exists()


def test_damage_anywhere_in_a_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    torch.save({"model": {"a": torch.zeros(8)}}, path, _use_new_zipfile_serialization=False)
    good = path.read_bytes()
    refused = 0
    for cut in range(len(good)):
        path.write_bytes(good[:cut])
        with pytest.raises(InputError) as caught:
            read_state_dict(path)
        refused += "\n" not in str(caught.value)
    assert refused == len(good)


def test_the_options_a_training_script_stores_beside_the_weights_are_no_code(tmp_path: Path) -> None:
    path = tmp_path / "official.pth"
    torch.save(
        {"model": {"module.a": torch.zeros(2)}, "epoch": 89, "args": argparse.Namespace(lr=1e-4, hoi=True)}, path
    )
    assert list(read_state_dict(path)) == ["a"]


def test_detr_gives_a_detector_to_begin_with(tmp_path: Path) -> None:
    config = hoiclip_r50_hico()
    with torch.device("meta"):
        ours = HoiClip(config).state_dict()
    detr: dict[str, Tensor] = {"class_embed.weight": torch.zeros(92, 256)}
    for key, value in ours.items():
        if key.startswith("backbone."):
            detr["backbone.0.body." + key.removeprefix("backbone.")] = torch.zeros(value.shape)
        elif key.startswith("encoder."):
            detr["transformer." + key] = torch.zeros(value.shape)
        elif key.startswith("instance_decoder."):
            name = key.removeprefix("instance_decoder.")
            detr["transformer.decoder." + name] = torch.zeros(value.shape)
            detr["transformer.decoder." + name.replace("layers.0.", "layers.5.")] = torch.zeros(value.shape)
        elif key.startswith("human_box_head."):
            detr["bbox_embed." + key.removeprefix("human_box_head.")] = torch.zeros(value.shape)
        elif key.startswith("input_proj."):
            detr[key] = torch.zeros(value.shape)
    source = tmp_path / "detr-r50.pth"
    torch.save({"model": detr}, source)
    command(source, detr=True)
    weights = load_file(tmp_path / "detr-r50.safetensors")
    assert "object_box_head.layers.2.weight" in weights
    assert not any(".layers.5." in key and key.startswith("instance") for key in weights)
    with pytest.raises(InputError, match="not a DETR checkpoint"):
        convert_detr({"a": torch.zeros(1)}, "detr.pth")
