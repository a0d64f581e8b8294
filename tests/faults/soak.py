"""Random faults, one after the other, for as long as it is told to; a failure prints the command that brings it again.

Run: python -m tests.faults.soak [--minutes N] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.faults.camera_world import CameraWorld
from tests.faults.checking import Findings
from tests.faults.fault import Fault
from tests.faults.trial import FAULTS, Outcome, complaints_of, outcome_in
from tests.faults.world import World, heed_signals
from tests.faults.zygote import REPOSITORY, Zygote

WITH_CAMERAS = 0.3  # of the rounds are the whole pipeline's
FAULTS_IN_A_ROUND, FAULTS_WITH_CAMERAS = 12, 4
LONGEST_ROUND_S = 900.0


def chosen(seed: int) -> list[Fault]:
    """Return the faults of a round."""
    chance = random.Random(seed)
    if chance.random() < WITH_CAMERAS:
        return chance.choices([fault for fault in FAULTS if fault.cameras], k=FAULTS_WITH_CAMERAS)
    return chance.choices([fault for fault in FAULTS if fault.soaks], k=FAULTS_IN_A_ROUND)


def soak_round(seed: int, folder: Path) -> Outcome:
    """Let the faults of `seed` happen to one run; return what is wrong with what is left."""
    faults, chance = chosen(seed), random.Random(seed)
    world = CameraWorld(folder, seed) if faults[0].cameras else World(folder, seed)
    try:
        world.wait_for_state("ok")
        for one in faults:
            if isinstance(world, CameraWorld):
                world.wait_until_up()  # what is known to be wrong is what the next fault does, not the last one
            world.wait_until_begun()  # a start that fails is refused plainly; it is no fault to be lived through
            world.work(chance.uniform(0.1, 1.0))
            one.act(world)
        world.wait_for_state("ok", "events_deleted", timeout_s=60)
        findings = world.finish()
        accounts, empties = any(one.accounts for one in faults), any(one.empties for one in faults)
        complaints = complaints_of(world, findings, accounts=accounts, empties=empties)
        return Outcome(findings, [*world.failures, *complaints])
    finally:
        world.close()


def round_apart(seed: int) -> Outcome:
    """Let a round happen in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.soak", "--round", str(seed)]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=said, stderr=log)
        try:
            code = process.wait(LONGEST_ROUND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return Outcome(Findings(), [f"not over after {LONGEST_ROUND_S:.0f} s"])
        return outcome_in(said, log, code)


def soak(minutes: float, seed: int, jobs: int) -> bool:
    """Run rounds until the time is over, `jobs` at a time; return whether all went well."""
    print(f"seed {seed}", flush=True)
    end = time.monotonic() + 60 * minutes
    happened: Counter[str] = Counter()
    events = rounds = failed = 0

    def seeds() -> Iterator[int]:
        number = seed
        while time.monotonic() < end:
            yield number
            number += 1

    waiting = seeds()
    with Zygote(), ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(round_apart, number): number for number, _ in zip(waiting, range(jobs), strict=False)}
        while running:
            first = next((future for future in running if future.done()), None)
            if first is None:
                time.sleep(0.1)
                continue
            number, outcome = running.pop(first), first.result()
            happened.update(one.name for one in chosen(number))
            events, rounds = events + outcome.findings.events, rounds + 1
            if not outcome.faultless:
                failed += 1
                names = "; ".join(one.name for one in chosen(number))
                print(f"FAILED: {outcome.findings}: {' / '.join(outcome.failures)} after {names}", flush=True)
                print(f"again: python -m tests.faults.soak --round {number}", flush=True)
            if (following := next(waiting, None)) is not None:
                running[pool.submit(round_apart, following)] = following
    print(
        f"seed {seed}: {rounds} rounds, {happened.total()} faults of {len(happened)} kinds, {events} events checked, "
        f"{failed} rounds failed",
        flush=True,
    )
    return failed == 0


def main() -> None:
    """Soak, and exit with 1 when a round failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_007)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rounds at a time")
    parser.add_argument("--round", type=int, help="only the round of this seed; prints one JSON document")
    options = parser.parse_args()
    heed_signals()
    if options.round is None:
        raise SystemExit(0 if soak(options.minutes, options.seed, options.jobs) else 1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        outcome = soak_round(options.round, Path(folder))
    print(json.dumps(asdict(outcome)))
    raise SystemExit(0 if outcome.faultless else 1)


if __name__ == "__main__":
    main()
