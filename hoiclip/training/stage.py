"""One stage of training: optimiser, schedule, averaged weights, checkpoints that resume to the same result."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from hoiclip.files import replacing
from hoiclip.training.data import prefetch
from hoiclip.training.distributed import ALONE, World

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Report = Callable[[str, int, int, dict[str, float]], None]  # stage, step, steps, values
Loss = Callable[[Item], dict[str, Tensor]]  # "total" is what is minimised, the rest is shown


@dataclass(frozen=True)
class StageSettings:
    """How long and how fast a stage learns."""

    steps: int
    lr: float
    warm_up: int = 200  # steps of linear warm-up
    final_lr: float = 0.01  # the cosine's end, as a share of `lr`
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    average: float = 0.0  # decay of the averaged weights; 0 keeps none
    bfloat16: bool = True
    checkpoint_every: int = 500
    schedule: Literal["cosine", "drop"] = "cosine"
    drop_at: float = 2 / 3  # "drop": from this share of the steps on the rate is a tenth


def learning_rate(settings: StageSettings, step: int) -> float:
    """Return the share of the full rate at `step`: linear warm-up, then a cosine or one drop to a tenth."""
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    if settings.schedule == "drop":
        return 0.1 if step >= settings.drop_at * settings.steps else 1.0
    done = (step - settings.warm_up) / max(1, settings.steps - settings.warm_up)
    return settings.final_lr + (1 - settings.final_lr) * 0.5 * (1 + math.cos(math.pi * done))


def checkpoint_of(name: str, directory: Path) -> Path:
    """Return where the stage `name` keeps its checkpoint."""
    return directory / f"{name}.pt"


def run_stage(
    name: str,
    modules: nn.Module,
    groups: list[dict[str, Any]],
    settings: StageSettings,
    make_batch: Callable[[int], Item],
    loss_of: Loss[Item],
    directory: Path,
    report: Report,
    *,
    world: World = ALONE,
    split: Callable[[Item], Sequence[Item]] | None = None,
) -> None:
    """Train `modules` in place; a checkpoint of this stage in `directory` is resumed, a finished stage is loaded.

    `groups` are AdamW's parameter groups; a group's ``lr`` is a share of `settings.lr`. Everything random is derived
    from the step, so a killed run continues to the same weights. `split` cuts a batch into parts whose gradients are
    added up; with several processes in `world` the first one writes, and reports the sums over all of them.
    """
    path = checkpoint_of(name, directory)
    parameters = [p for group in groups for p in group["params"]]
    shares = [group.get("lr", 1.0) for group in groups]
    optimizer = torch.optim.AdamW(
        [{**group, "lr": settings.lr * share} for group, share in zip(groups, shares, strict=True)],
        weight_decay=settings.weight_decay,
    )
    averaged = {key: value.detach().clone() for key, value in modules.state_dict().items()} if settings.average else {}
    start = 0
    if path.exists():
        state = torch.load(path, map_location=world.device, weights_only=True)
        start = state["step"]
        modules.load_state_dict(state["modules"])
        optimizer.load_state_dict(state["optimizer"])
        averaged = state["averaged"]
        logger.info("stage %s resumes at step %d", name, start)

    def save(step: int) -> None:
        state = {
            "step": step,
            "modules": modules.state_dict(),
            "optimizer": optimizer.state_dict(),
            "averaged": averaged,
        }
        with replacing(path) as part:
            torch.save(state, part)

    began = time.perf_counter()
    for step, batch in prefetch(make_batch, range(start, settings.steps)):
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = settings.lr * share * learning_rate(settings, step)
        optimizer.zero_grad(set_to_none=True)
        parts = [batch] if split is None else split(batch)
        losses: dict[str, Tensor] = {}
        for number, part in enumerate(parts, 1):
            with world.synchronised(number == len(parts)):
                with torch.autocast(world.device.type, torch.bfloat16, enabled=settings.bfloat16):
                    of_part = loss_of(part)
                (of_part["total"] * world.size).backward()  # gradients are averaged, parts are shares of a sum
            for key, value in of_part.items():
                losses[key] = losses[key] + value.detach() if key in losses else value.detach()
        norm = nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimizer.step()
        if settings.average:
            _average(averaged, modules, min(settings.average, (step + 1) / (step + 10)))
        if (step + 1) % 25 == 0 or step + 1 == settings.steps:
            sums = world.total([float(value) for value in losses.values()])
            shown = dict(zip(losses, sums, strict=True))
            shown |= {"norm": float(norm), "s/step": (time.perf_counter() - began) / (step + 1 - start)}
            if world.is_first:
                report(name, step + 1, settings.steps, shown)
        if world.is_first and ((step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps):
            save(step + 1)
    if averaged:
        modules.load_state_dict(averaged)


@torch.no_grad()
def _average(averaged: dict[str, Tensor], modules: nn.Module, decay: float) -> None:
    for key, value in modules.state_dict().items():
        if value.is_floating_point():
            averaged[key].lerp_(value, 1 - decay)
        else:
            averaged[key].copy_(value)
