"""One fault, once: let it happen to a run, and say what is wrong with what is left.

Run: python -m tests.faults.trial FAULT SEED  prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.faults import (
    camera_faults,
    consumer_faults,
    disk_faults,
    network_faults,
    run_faults,
    server_faults,
    stream_faults,
    wall_clock,
    zygote,
)
from tests.faults.camera_world import CameraWorld
from tests.faults.checking import Findings
from tests.faults.fault import Fault
from tests.faults.world import REPOSITORY, World, heed_signals

FAULTS: list[Fault] = [
    *server_faults.FAULTS,
    *stream_faults.FAULTS,
    *network_faults.FAULTS,
    *disk_faults.FAULTS,
    *run_faults.FAULTS,
    *consumer_faults.FAULTS,
    *camera_faults.FAULTS,
]
_OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]  # mounts that nobody else sees; needs no root
_LONGEST_S = 400.0  # of a trial, patience for a busy machine included


@dataclass(frozen=True)
class Outcome:
    """What came of one trial."""

    findings: Findings
    failures: list[str]  # what the findings themselves do not show

    @property
    def faultless(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.findings.faultless and not self.failures


def named(name: str) -> Fault:
    """Return the fault of that name."""
    (one,) = (fault for fault in FAULTS if fault.name == name)
    return one


@cache
def missing(one: Fault) -> str:
    """Return why this machine cannot try a fault; empty where it can."""
    if (
        one.disks
        and subprocess.run([*_OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode
    ):
        return "no file system can be mounted here (user namespaces are switched off)"
    if one.clock and wall_clock.library() is None:
        return "libfaketime is not installed (pip install libfaketime)"
    return ""


def run(one: Fault, seed: int, folder: Path) -> Outcome:
    """Let `one` happen to a run."""
    world = CameraWorld(folder, seed) if one.cameras else World(folder, seed, disks=one.disks, clock=one.clock)
    try:
        world.wait_for_state("ok")
        world.work(0.5 + world.random.random() / 2)
        one.act(world)
        world.work(0.5)
        findings = world.finish()
        complaints = complaints_of(world, findings, accounts=one.accounts, empties=one.empties)
        return Outcome(findings, [*world.failures, *complaints])
    finally:
        world.close()


def run_apart(one: Fault, seed: int) -> Outcome:
    """Let `one` happen to a run in a process of its own, with mounts of its own where it needs some."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as log:
        command = ["tests.faults.trial", one.name, str(seed)]
        process: Any
        if zygote.ADDRESS in os.environ and not one.disks:
            process = zygote.start(command[0], command[1:], stdout=said.fileno(), stderr=log.fileno())
        else:
            whole = [*(_OWN_MOUNTS if one.disks else []), sys.executable, "-m", *command]
            environment = {name: value for name, value in os.environ.items() if name != zygote.ADDRESS}
            # the zygote lives outside of these mounts
            process = subprocess.Popen(whole, cwd=REPOSITORY, stdout=said, stderr=log, env=environment)
        try:
            code = process.wait(_LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return Outcome(Findings(), [f"not over after {_LONGEST_S:.0f} s"])
        return outcome_in(said, log, code)


def outcome_in(said: IO[bytes], log: IO[bytes], code: int) -> Outcome:
    """Return the outcome that a program printed last; what it logged is shown where anything is wrong."""
    said.seek(0)
    log.seek(0)
    lines, logged = said.read().splitlines(), log.read().decode(errors="replace").strip()
    if code not in (0, 1) or not lines:
        return Outcome(Findings(), [f"exit code {code}: {logged[-500:]}"])
    document = json.loads(lines[-1])
    outcome = Outcome(Findings(**document["findings"]), document["failures"])
    if not outcome.faultless:
        print(logged[-6000:], file=sys.stderr)
    return outcome


def complaints_of(world: World, findings: Findings, *, accounts: bool, empties: bool) -> list[str]:
    """Return what the findings themselves do not show."""
    said = []
    if findings.accounted and not accounts:
        said.append(f"{findings.accounted} events were told as lost, though none had to be")
    handled = world.handled_ids()
    if len(set(handled)) < len(handled) and not (world.consumer_died or empties):
        said.append(f"the consumer handled {len(handled) - len(set(handled))} events twice")
    if findings.events < world.fewest_events:
        said.append(f"only {findings.events} events: nothing was tried")
    return said


def main() -> None:
    """Try one fault; exit with 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fault", choices=[fault.name for fault in FAULTS], metavar="FAULT")
    parser.add_argument("seed", type=int)
    parser.add_argument("--keep", type=Path, help="keep what the run left in this folder")
    options = parser.parse_args()
    heed_signals()
    one = named(options.fault)
    if why := missing(one):
        raise SystemExit(f"{one.name}: {why}")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="fault-"))
    folder.mkdir(exist_ok=True)
    try:
        outcome = run(one, options.seed, folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(asdict(outcome)))
    raise SystemExit(0 if outcome.faultless else 1)


if __name__ == "__main__":
    main()
