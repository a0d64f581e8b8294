"""Signals, each in a program of its own: workers of the test run share theirs with libraries that take signals too."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

HEAD = "import os, signal, sys\nfrom stream.commands.support.signals import stop_on_signals\n"


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
def test_every_signal_that_ends_a_program_asks_it_to_stop(name: str) -> None:
    assert hasattr(signal, name)
    run(
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"
        f"before = signal.getsignal(signal.{name})\n"
        "with stop_on_signals() as stop:\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    assert stop.wait(5)\n"
        f"assert signal.getsignal(signal.{name}) == before\n"
        "print('fine')"
    )


def test_a_second_ctrl_c_interrupts() -> None:
    run(
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    with stop_on_signals() as stop:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        assert stop.wait(5)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        signal.sigtimedwait([], 5)\n"
        "except KeyboardInterrupt:\n"
        "    print('fine')"
    )


def test_nohup_is_respected() -> None:
    run(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stop_on_signals(0.3) as stop:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    assert not stop.wait(0.05)\n"
        "    assert stop.wait(5)  # the time limit\n"
        "print('fine')"
    )
