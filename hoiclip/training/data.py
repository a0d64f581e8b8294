"""Which pictures a step sees, repeatable from the step alone, and batches made ahead of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


@dataclass(frozen=True)
class Order:
    """Which pictures each step takes: a new permutation an epoch, all of it derived from seed and step."""

    count: int
    batch_size: int
    seed: int

    def indices(self, step: int) -> list[int]:
        """Return the picture indices of `step`."""
        per_epoch = self.count // self.batch_size
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return [int(i) for i in order[place * self.batch_size : (place + 1) * self.batch_size]]


def prefetch(make: Callable[[int], Item], steps: range, ahead: int = 3) -> Iterator[tuple[int, Item]]:
    """Yield ``(step, make(step))`` in order, making the next ones in a thread; an error there is raised here."""
    ready: queue.Queue[tuple[int, Item] | BaseException | None] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def hand_over(item: tuple[int, Item] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in steps:
                if stopped.is_set():
                    return
                hand_over((step, make(step)))
            hand_over(None)
        except BaseException as error:
            hand_over(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
