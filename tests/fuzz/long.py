"""Fuzz every reader of foreign bytes for as long as told: `make soak`. A failure prints what brings it again.

Where atheris is installed (Linux) libFuzzer looks for inputs that reach new code, each target in a process of its own.
Elsewhere the mutations of `make test` go on with a seed. Run: python -m tests.fuzz.long [--minutes N] [--seed N]
[--only NAME]
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.fuzz.mutation import mutated


def guided(name: str, seconds: float, seed: int) -> None:
    """Let libFuzzer feed a target; it ends this process, with a status above 0 after a finding."""
    import atheris

    with atheris.instrument_imports(include=["hoiclip", "stream", "yaml"]):
        from tests.fuzz.targets import TARGETS, feed
    target = next(target for target in TARGETS if target.name == name)

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        chance = Random(seed)
        changed = mutated(chance, data) if chance.random() < 0.5 else atheris.Mutate(data, len(data) + 64)
        return bytes(changed[:max_size])

    corpus = Path(tempfile.mkdtemp(prefix="corpus-"))
    for number, data in enumerate(target.sound()):
        (corpus / str(number)).write_bytes(data)
    options = [f"-max_total_time={max(1, round(seconds))}", f"-seed={seed}", "-max_len=100000", "-timeout=60",
               "-rss_limit_mb=4096", f"-artifact_prefix={tempfile.gettempdir()}/"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: feed(target, data), custom_mutator=change)
    atheris.Fuzz()


def plain(name: str, seconds: float, seed: int) -> None:
    """Feed changed examples to a target; what it should not raise is raised, after the seed of that input."""
    from tests.fuzz.targets import TARGETS, feed

    target = next(target for target in TARGETS if target.name == name)
    end_s, number = time.monotonic() + seconds, 0
    while time.monotonic() < end_s:
        chance = Random(f"{seed} {number}")
        data = mutated(chance, chance.choice(target.sound()))
        try:
            feed(target, data)
        except Exception:
            print(f"{target.name}: seed {seed}, input {number}: {data[:200]!r}", flush=True)
            raise
        number += 1
    print(f"{target.name}: {number} inputs", flush=True)


def fuzz(minutes: float, seed: int, only: str = "") -> bool:
    """Give each target its part of the time, in a process of its own; return whether all kept the promise."""
    from tests.fuzz.targets import TARGETS

    chosen = [target for target in TARGETS if only in target.name]
    print(f"fuzzing {len(chosen)} readers for {minutes:g} minutes with seed {seed}", flush=True)
    failed = []
    for target in chosen:
        seconds = minutes * 60 / len(chosen)
        command = [sys.executable, "-m", "tests.fuzz.long", "--target", target.name, "--seed", str(seed)]
        done = subprocess.run([*command, "--minutes", str(seconds / 60)], capture_output=True, text=True)
        words = done.stdout + done.stderr
        if done.returncode:
            failed.append(target.name)
            print(words[-6000:], flush=True)
        last = next((line for line in reversed(words.splitlines()) if line.startswith(("#", target.name))), "")
        print(f"{'FAILED' if done.returncode else 'held  '} {target.name}: {last}", flush=True)
    print(f"{len(failed)} of {len(chosen)} failed" if failed else f"all {len(chosen)} held", flush=True)
    return not failed


def main() -> None:
    """Fuzz all targets, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help="targets whose name holds this")
    parser.add_argument("--target", help="this one, in this process")
    options = parser.parse_args()
    if options.target is None:
        sys.exit(not fuzz(options.minutes, options.seed, options.only))
    run = guided if importlib.util.find_spec("atheris") else plain
    run(options.target, options.minutes * 60, options.seed % 2**31)


if __name__ == "__main__":
    main()
