"""Random faults, one after the other, for as long as it is told to; a failure prints the seed that brings it again.

Run: python -m tests.faults.soak [--minutes N] [--seed N]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.checking import Findings
from tests.faults.matrix import FAULTS, Fault, complaints
from tests.faults.world import World

FAULTS_IN_A_ROUND = 12


def soak_round(seed: int, folder: Path, num_faults: int = FAULTS_IN_A_ROUND) -> tuple[Findings, list[str], list[Fault]]:
    """Let faults chosen by `seed` happen to one run; return what is wrong, what failed, and the faults."""
    chance = random.Random(seed)
    chosen = [chance.choice(FAULTS) for _ in range(num_faults)]
    world = World(folder, seed)
    try:
        world.wait_for_state("ok")
        for one in chosen:
            world.work(chance.uniform(0.1, 1.0))
            one.act(world)
        world.wait_for_state("ok", "events_deleted", timeout_s=60)
        findings = world.finish()
        accounts, empties = any(one.accounts for one in chosen), any(one.empties for one in chosen)
        return findings, [*world.failures, *complaints(world, findings, accounts=accounts, empties=empties)], chosen
    finally:
        world.close()


def soak(minutes: float, seed: int) -> bool:
    """Run rounds until the time is over; return whether all went well."""
    print(f"seed {seed}", flush=True)
    end = time.monotonic() + 60 * minutes
    happened: Counter[str] = Counter()
    events = rounds = failed = 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            findings, failures, chosen = soak_round(seed + rounds, Path(folder))
        happened.update(one.name for one in chosen)
        events += findings.events
        if failures or not findings.faultless:
            failed += 1
            names = "; ".join(one.name for one in chosen)
            print(f"FAILED: --seed {seed + rounds}: {findings}: {' / '.join(failures)} after {names}", flush=True)
        rounds += 1
    print(
        f"seed {seed}: {rounds} rounds, {happened.total()} faults of {len(happened)} kinds, {events} events checked, "
    )
    print(f"{failed} rounds failed", flush=True)
    return failed == 0


def main() -> None:
    """Soak, and exit with 1 when a round failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_007)
    options = parser.parse_args()
    raise SystemExit(0 if soak(options.minutes, options.seed) else 1)


if __name__ == "__main__":
    main()
