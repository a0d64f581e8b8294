"""How a running deployment is: one document for people and load balancers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher
from stream.run.inference import EnginePool


class Health:
    """Look at the parts of a deployment whenever somebody asks."""

    def __init__(self, supervisor: SourceSupervisor, publisher: Publisher, engines: EnginePool) -> None:
        self._supervisor, self._publisher, self._engines = supervisor, publisher, engines

    def document(self) -> dict[str, Any]:
        """Return a JSON-ready document: ok while every sink takes events, every source sends and somebody watches."""
        status, published = self._supervisor.status(), self._publisher.state
        down = {name: source for name, source in status.items() if not source.over and not source.up}
        return {
            "ok": published.ok and self._supervisor.healthy and not down,
            "publisher": published.state,
            "publisher_error": published.last_error,
            "lag_events": published.lag,
            "sources": {name: "down" if name in down else "up" for name, source in status.items() if not source.over},
            "why_down": {
                name: f"{source.reason or source.state} since {_utc(source.since_wall_s)}: {source.detail}"
                for name, source in down.items()
            },
            "watching": self._supervisor.healthy,
            "engines": self._engines.names,
        }


def _utc(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds")
