"""The builder's phases reach whoever started the build, and an exception never reaches TensorRT."""

from __future__ import annotations

import logging
import threading

import pytest

from engines.tensorrt_progress import BuildMonitor, BuildPhase, log_phase


def test_nested_phases_are_told_with_their_depth_and_steps() -> None:
    told: list[BuildPhase] = []
    monitor = BuildMonitor(lambda phase: told.append(phase) or True)  # type: ignore[func-returns-value]
    monitor.start("build", None, 2)
    monitor.start("tactics", "build", 3)
    assert monitor.step("tactics", 0)
    monitor.finish("tactics")
    monitor.finish("never begun")
    assert monitor.step("never begun", 1)
    monitor.finish("build")
    monitor.raise_error()
    seen = [(phase.name, phase.depth, phase.done, phase.steps, phase.over) for phase in told]
    assert seen == [
        ("build", 0, 0, 2, False),
        ("tactics", 1, 0, 3, False),
        ("tactics", 1, 1, 3, False),
        ("tactics", 1, 1, 3, True),
        ("build", 0, 0, 2, True),
    ]
    assert all(phase.seconds >= 0 for phase in told)


@pytest.mark.parametrize("error", [ValueError("no such bar"), KeyboardInterrupt()])
def test_what_the_listener_raises_ends_the_build_and_is_raised_after_it(error: BaseException) -> None:
    def fail(phase: BuildPhase) -> bool:
        raise error

    monitor = BuildMonitor(fail)
    monitor.start("build", None, 2)
    assert not monitor.step("build", 0)
    monitor.finish("build")
    with pytest.raises(type(error)):
        monitor.raise_error()


def test_a_listener_may_end_the_build() -> None:
    monitor = BuildMonitor(lambda phase: phase.done < 1)
    monitor.start("build", None, 3)
    assert not monitor.step("build", 0)
    assert not monitor.step("build", 1)
    monitor.raise_error()


def test_phases_from_several_threads_come_one_at_a_time() -> None:
    inside, most, second = 0, 0, threading.Event()
    barrier = threading.Barrier(2)

    def count(phase: BuildPhase) -> bool:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside > 1:
            second.set()
        second.wait(0.01)  # time for the other thread to come in
        inside -= 1
        return True

    monitor = BuildMonitor(count)

    def work(name: str) -> None:
        barrier.wait(10)
        monitor.start(name, None, 9)
        for step in range(9):
            monitor.step(name, step)
        monitor.finish(name)

    threads = [threading.Thread(target=work, args=(f"phase {index}",)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_without_a_listener_the_log_tells_of_the_outermost_phases(caplog: pytest.LogCaptureFixture) -> None:
    monitor = BuildMonitor(log_phase)
    with caplog.at_level(logging.INFO, "engines.tensorrt_progress"):
        monitor.start("build", None, 1)
        monitor.start("inner", "build", 1)
        monitor.finish("inner")
        monitor.finish("build")
    assert [record.getMessage().split(" took ")[0] for record in caplog.records] == ["building: build"]
