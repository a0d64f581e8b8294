from __future__ import annotations

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import FrameBatcher
from stream.ingest.source_state import SourceMessage
from stream.ingest.supervisor import SourceSupervisor
from stream.publish.state import PublisherState
from stream.run.metrics import Metrics
from stream.run.pipeline import StageTimes
from stream.run.scraped import Scraped

REPOSITORY = Path(__file__).resolve().parents[3]
MONITORING = REPOSITORY / "configs" / "monitoring"
STATE = PublisherState("redis_down", 9, 4, 5, 1234, 0, 0, 2, 3, "refused")


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return each sample by its name and the values of its labels, the source first."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {
        (s.name, tuple(s.labels[k] for k in sorted(s.labels, reverse=True))): s.value
        for family in families
        for s in family.samples
    }


def metrics_of(supervisor: SourceSupervisor, times: StageTimes, state: PublisherState = STATE) -> Metrics:
    publisher: Any = SimpleNamespace(state=state)
    metrics = Metrics()
    metrics.registry.register(Scraped(supervisor, publisher, times))
    return metrics


def test_every_scrape_tells_the_truth_of_its_moment_though_nobody_asks_for_health(free_tcp_port: int) -> None:
    times = StageTimes()
    source = SourceSettings("door", f"rtsp://127.0.0.1:{free_tcp_port}/a", "live", (Canvas(32, 48),), timeout_s=1.0)
    with SourceSupervisor([source]) as supervisor:
        metrics = metrics_of(supervisor, times)
        batcher = FrameBatcher(supervisor, 1, 0.0)
        messages = iter(lambda: batcher.collect(10), None)
        assert any(isinstance(item, SourceMessage) and item.kind == "lost" for item in messages)
        first = scrape(metrics)
        assert first["hoistream_source_up", ("door",)] == 0
        assert first["hoistream_publisher_up", ()] == 0
        assert first["hoistream_publish_lag_events", ()] == 5
        assert first["hoistream_spool_bytes", ()] == 1234
        assert first["hoistream_events_lost_total", ()] == 2
        assert first["hoistream_stream_entries_deleted_total", ()] == 3
        times.seconds["engine"] += 1.5
        time.sleep(0.05)
        second = scrape(metrics)
    assert second["hoistream_stage_seconds_total", ("engine",)] == 1.5
    blind = [found["hoistream_blind_seconds_total", ("door",)] for found in (first, second)]
    assert blind[1] >= blind[0] + 0.05


def test_losses_are_counted_by_source_and_reason() -> None:
    account = SimpleNamespace(decoded=10, errors=1, blind_s=2.5, dropped={"stale": 3, "ring_full": 4})
    supervisor: Any = SimpleNamespace(status=lambda: {"a": SimpleNamespace(up=True)}, coverage=lambda: {"a": account})
    found = scrape(metrics_of(supervisor, StageTimes(), PublisherState("ok", 0, 0, 0, 0, 0, 0, 0, 0, "")))
    assert found["hoistream_frames_dropped_total", ("a", "stale")] == 3
    assert found["hoistream_frames_dropped_total", ("a", "ring_full")] == 4
    assert found["hoistream_frames_decoded_total", ("a",)] == 10
    assert found["hoistream_decode_errors_total", ("a",)] == 1
    assert found["hoistream_blind_seconds_total", ("a",)] == 2.5
    assert found["hoistream_source_up", ("a",)] == found["hoistream_publisher_up", ()] == 1


@pytest.fixture(scope="module")
def existing() -> set[str]:
    """Return the names of all measures there are, without what Prometheus appends for histograms."""
    supervisor: Any = SimpleNamespace(status=dict, coverage=dict)
    names = set()
    for family in metrics_of(supervisor, StageTimes()).registry.collect():
        names.add(family.name + ("_total" if family.type == "counter" else ""))
    return names


def measures(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bhoistream_[a-z_]+", text)}


def test_dashboard_and_alert_rules_ask_for_measures_that_exist(existing: set[str]) -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    asked += [rule["expr"] for rule in rules]
    for expression in asked:
        assert measures(expression) <= existing, expression
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")
    assert all(rule["labels"]["severity"] in ("warning", "critical") and rule["annotations"] for rule in rules)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_page_on_metrics_names_every_measure_and_no_other(existing: set[str]) -> None:
    page = (REPOSITORY / "docs" / "metrics.md").read_text()
    assert measures(page) == existing
