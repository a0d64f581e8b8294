"""How a running deployment is: one document for people and load balancers, and the gauges beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stream.ingest.supervisor import SourceSupervisor
from stream.publish.publisher import Publisher
from stream.run.inference import EnginePool
from stream.run.metrics import Metrics


class Health:
    """Look at the parts of a deployment whenever somebody asks."""

    def __init__(
        self, supervisor: SourceSupervisor, publisher: Publisher, engines: EnginePool, metrics: Metrics
    ) -> None:
        self._supervisor, self._publisher, self._engines, self._metrics = supervisor, publisher, engines, metrics

    def document(self) -> dict[str, Any]:
        """Return a JSON-ready document: ok while every sink takes events, every source sends and somebody watches."""
        self.update_metrics()
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

    def update_metrics(self) -> None:
        """Set the gauges that no event moves."""
        metrics, connected = self._metrics, self._supervisor.connected()
        for name, account in self._supervisor.coverage().items():
            metrics.blind_s.labels(name).set(account.blind_s)
            metrics.connected.labels(name).set(connected.get(name, False))
            for reason, count in account.dropped.items():
                metrics.dropped.labels(name, reason).set(count)
        published = self._publisher.state
        metrics.spool_bytes.set(published.spool_bytes)
        metrics.spool_lag.set(published.lag)
        metrics.events_lost.set(published.lost)
        metrics.events_deleted.set(published.deleted)


def _utc(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds")
