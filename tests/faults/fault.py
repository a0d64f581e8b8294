"""What a fault is: something that happens to a run, and what may come of it beside nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["server", "stream", "network", "disk", "run", "consumer", "camera"]


@dataclass(frozen=True, eq=False)
class Fault:
    """Something that happens to a run. `accounts`: it may cost events, all of which must be told."""

    name: str
    kind: Kind
    act: Callable[[Any], None]  # does it to a `World`, or to a `CameraWorld` where `cameras`
    cameras: bool = False  # needs the whole pipeline, with cameras; else a publisher is enough
    accounts: bool = False
    empties: bool = False  # the server gets events again that a consumer may have handled
    disks: dict[str, str] = field(
        default_factory=dict
    )  # folders of the run that are file systems of their own: tmpfs options
    clock: bool = False  # the wall clocks of run and server are libfaketime's
    alone: bool = False  # not among the random faults of `make soak`: it needs a run of its own

    @property
    def soaks(self) -> bool:
        """Whether it may happen in a run to which other faults happen too."""
        return not (self.disks or self.clock or self.cameras or self.alone)


class Faults(list[Fault]):
    """The faults of one module, in its order."""

    def __init__(self, kind: Kind, *, cameras: bool = False) -> None:
        super().__init__()
        self._kind, self._cameras = kind, cameras

    def enter(self, name: str, **options: Any) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        """Enter the function below under `name`; options as `Fault` has them."""

        def entering(act: Callable[[Any], None]) -> Callable[[Any], None]:
            self.append(Fault(name, self._kind, act, **{"cameras": self._cameras, **options}))
            return act

        return entering
