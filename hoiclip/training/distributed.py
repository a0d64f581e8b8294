"""One or several training processes: who is who, sums over all of them, and when gradients are exchanged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass
class World:
    """The processes of one training run; a single one unless torchrun started several."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _wrapped: DistributedDataParallel | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return `module`, made to exchange gradients if there are several processes."""
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        self._wrapped = DistributedDataParallel(module, device_ids=devices)
        return self._wrapped

    def synchronised(self, last: bool) -> AbstractContextManager[Any]:
        """Return the context of one backward pass; only the `last` of a step exchanges gradients."""
        return nullcontext() if last or self._wrapped is None else self._wrapped.no_sync()

    def total(self, values: list[float]) -> list[float]:
        """Return the sums of `values` over all processes; every process must call it."""
        return self._reduced(values, distributed.ReduceOp.SUM)

    def largest(self, values: list[float]) -> list[float]:
        """Return the largest of each of `values` over all processes; every process must call it."""
        return self._reduced(values, distributed.ReduceOp.MAX)

    def _reduced(self, values: list[float], operation: distributed.ReduceOp.RedOpType) -> list[float]:
        if self.size == 1:
            return values
        reduced = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(reduced, operation)
        return [float(value) for value in reduced]


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the other processes that torchrun started, if any: NCCL on GPUs, gloo on CPUs."""
    size, cuda = int(os.environ.get("WORLD_SIZE", "1")), torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if size == 1:
        yield World(device=device)
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
