"""Fold frozen batch norm into the convolutions before it, for engines that do not do so themselves."""

from __future__ import annotations

import copy

from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from hoiclip.model import HoiClip


def fold_batch_norm(model: HoiClip) -> HoiClip:
    """Return a copy of `model` whose backbone has its frozen batch norm folded into the convolutions.

    The copy shares every weight outside the backbone.
    """
    shared = {id(p): p for name, p in model.named_parameters() if not name.startswith("backbone.")}
    folded = copy.deepcopy(model, dict(shared))  # the memo makes deepcopy keep these as they are
    for module in list(folded.backbone.modules()):
        children = dict(module.named_children())
        for name, child in children.items():
            if name.startswith("conv") and (norm := children.get(name.replace("conv", "bn"))) is not None:
                setattr(module, name, _fold(child, norm))
                setattr(module, name.replace("conv", "bn"), nn.Identity())
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], FrozenBatchNorm2d):
            module[0], module[1] = _fold(module[0], module[1]), nn.Identity()
    return folded


def _fold(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d)
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    folded = copy.deepcopy(conv)
    folded.weight = nn.Parameter((conv.weight.double() * scale[:, None, None, None]).float(), requires_grad=False)
    folded.bias = nn.Parameter((norm.bias.double() - norm.running_mean.double() * scale).float(), requires_grad=False)
    return folded
