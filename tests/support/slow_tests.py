"""Which tests are left out of `make test-fast`: those that took long when `make slow-tests` was run last.

The list is a file and not a marker in a hundred places, since which tests are slow is measured, not known.
"""

from __future__ import annotations

from pathlib import Path

import pytest

LIST = Path(__file__).with_suffix(".txt")
LIMIT_S = 0.15  # a test with its fixtures, on two cores that nothing else uses


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make test-fast` and `make slow-tests` ask for."""
    parser.addoption("--fast", action="store_true", help=f"leave out the tests listed in {LIST.name}")
    parser.addoption("--list-slow", action="store_true", help=f"write {LIST.name} from how long each test takes")


def pytest_configure(config: pytest.Config) -> None:
    """Measure, in the process that all reports come to."""
    if config.getoption("--list-slow") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Measuring())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is listed, and what is marked as slow by hand."""
    if not config.getoption("--fast"):
        return
    slow = set(LIST.read_text(encoding="utf-8").splitlines())
    left_out = [item for item in items if _name(item.nodeid) in slow or item.get_closest_marker("slow")]
    kept = set(items) - set(left_out)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item in kept]


class _Measuring:
    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = _name(report.nodeid)
        self._seconds[name] = self._seconds.get(name, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        slow = sorted(name for name, seconds in self._seconds.items() if seconds > LIMIT_S)
        LIST.write_text("".join(f"{name}\n" for name in slow), encoding="utf-8")


def _name(nodeid: str) -> str:
    """Return a test's name without the group that xdist appends."""
    return nodeid.rsplit("@", 1)[0] if "@" in nodeid.rsplit("]", 1)[-1] else nodeid
