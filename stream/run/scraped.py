"""The measures that are looked up when somebody scrapes, so that they are true at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from stream.ingest.supervisor import SourceSupervisor
    from stream.publish.publisher import Publisher
    from stream.run.pipeline import StageTimes


class Scraped(Collector):
    """Reads the accounts that sources, publisher and pipeline keep anyway; called from the metrics server's threads."""

    def __init__(self, supervisor: SourceSupervisor, publisher: Publisher, times: StageTimes) -> None:
        self._supervisor, self._publisher, self._times = supervisor, publisher, times

    def collect(self) -> Iterator[Metric]:
        """Yield every measure with its value now."""
        yield from self._of_sources()
        yield from self._of_publishing()
        stages = CounterMetricFamily("hoistream_stage_seconds", "Time spent by stage.", labels=["stage"])
        for stage, seconds in self._times.by_stage().items():
            stages.add_metric([stage], seconds)
        yield stages

    def _of_sources(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("hoistream_source_up", "1 while frames arrive.", labels=["source"])
        for name, status in self._supervisor.status().items():
            up.add_metric([name], float(status.up))
        yield up
        decoded = CounterMetricFamily("hoistream_frames_decoded", "Frames the source had.", labels=["source"])
        dropped = CounterMetricFamily(
            "hoistream_frames_dropped", "Frames that were chosen and lost, by reason.", labels=["source", "reason"]
        )
        errors = CounterMetricFamily("hoistream_decode_errors", "Damaged packets and frames.", labels=["source"])
        blind = CounterMetricFamily(
            "hoistream_blind_seconds", "Seconds in which a source could not be seen.", labels=["source"]
        )
        for name, account in self._supervisor.coverage().items():
            decoded.add_metric([name], account.decoded)
            errors.add_metric([name], account.errors)
            blind.add_metric([name], account.blind_s)
            for reason, count in account.dropped.items():
                dropped.add_metric([name, reason], count)
        yield from (decoded, dropped, errors, blind)

    def _of_publishing(self) -> Iterator[Metric]:
        state = self._publisher.state
        yield GaugeMetricFamily("hoistream_publisher_up", "1 while every sink takes events.", value=float(state.ok))
        yield GaugeMetricFamily("hoistream_publish_lag_events", "Events not yet at every sink.", value=state.lag)
        yield GaugeMetricFamily("hoistream_spool_bytes", "Bytes of the spool on disk.", value=state.spool_bytes)
        yield CounterMetricFamily("hoistream_events_lost", "Events that can never come.", value=state.lost)
        yield CounterMetricFamily(
            "hoistream_stream_entries_deleted", "Entries that something else deleted.", value=state.deleted
        )
