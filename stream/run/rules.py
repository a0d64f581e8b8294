"""Rules in a deployment: what they may name, and their alerts among the events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hoiclip.closing import Closing
from hoiclip.errors import InputError
from stream.events.schema import AlertEvent, Event
from stream.rules.engine import RulesEngine
from stream.rules.journal import RulesJournal
from stream.rules.language import KnownNames, RulesFile, check_names, load_rules
from stream.run.layout_config import LayoutConfig

if TYPE_CHECKING:
    from hoiclip.classifier import TextClassifier


def known_names(layouts: Mapping[str, LayoutConfig], classifiers: Iterable[TextClassifier]) -> KnownNames:
    """Return what conditions may name: of sources, by id, with what is drawn on them, and the words looked for."""
    listed = list(classifiers)
    return KnownNames(
        cameras=frozenset(layouts),
        zones=frozenset(name for layout in layouts.values() for name in layout.zones),
        lines=frozenset(name for layout in layouts.values() for name in layout.lines),
        interactions=frozenset(name for classifier in listed for name in classifier.names),
        verbs=frozenset(verb for classifier in listed for verb in classifier.verbs),
        objects=frozenset(name for classifier in listed for name in classifier.object_names),
    )


def open_rules(rules: Path | RulesFile, known: KnownNames) -> RulesFile:
    """Return rules that name only what is known. Raises InputError, for a file with the line."""
    if isinstance(rules, Path):
        return load_rules(rules, known)
    for problem in check_names(rules, known):
        raise InputError(f"rules: {problem.message}")
    return rules


class DeployedRules(Closing):
    """Judge the events of a deployment as they are published; used from the pipeline's thread.

    With a `folder` the memory survives restarts; recordings, which are processed again, need none.
    """

    def __init__(self, rules: RulesFile, folder: Path | None) -> None:
        self._engine = RulesEngine(rules)
        self._journal = RulesJournal(self._engine, folder) if folder is not None else None

    def start(self, publish: Callable[[AlertEvent], object]) -> None:
        """Go on where an earlier process was, and publish what it could not any more."""
        if self._journal is not None:
            self._publish(self._journal.recover(), publish)
            self._journal.record()

    def take(self, event: Event, publish: Callable[[AlertEvent], object]) -> None:
        """Judge an event that is published, and publish the alerts that are due by it."""
        self._publish(self._journal.take(event) if self._journal is not None else self._engine.take(event), publish)

    def tick(self, publish: Callable[[AlertEvent], object]) -> None:
        """Publish the alerts that are due by the clock on the wall."""
        self._publish(self._engine.advance(time.time()), publish)

    def finish(self, publish: Callable[[AlertEvent], object]) -> None:
        """Nothing more will come."""
        self._publish(self._engine.finish(), publish)

    def close(self) -> None:
        """Keep the memory for the next start; safe to call twice."""
        if self._journal is not None:
            self._journal.close()

    def _publish(self, alerts: list[AlertEvent], publish: Callable[[AlertEvent], object]) -> None:
        for alert in alerts:
            publish(alert)
            if self._journal is not None:
                self._journal.published(alert)
