"""How a running deployment is: one document for people and load balancers, and the gauges beside it."""

from __future__ import annotations

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
        """Return a JSON-ready document: ok while every sink takes events and every source sends frames."""
        self.update_metrics()
        connected, published = self._supervisor.connected(), self._publisher.state
        return {
            "ok": published.ok and all(connected.values()),
            "publisher": published.state,
            "lag_events": published.lag,
            "sources": {name: "up" if up else "down" for name, up in connected.items()},
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
