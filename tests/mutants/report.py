"""What became of the mutants, and the page that says it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from hoiclip.evaluation.intervals import wilson
from hoiclip.files import write_whole

FOLDER = Path("mutants")
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
"""Changes that no test can notice, with the reason: by function, by change, see `change_of`."""
SURVIVED = (0, 5, 33)  # exit codes of a run in which nothing failed, and of one without tests
PARTS = (
    ("tracker", "stream/track/"),
    ("spool", "stream/publish/spool.py stream/publish/segment stream/publish/frames.py stream/publish/positions.py "
     "stream/publish/appending.py stream/publish/cursor.py stream/publish/records.py"),
    ("delivery, trimming, Redis sink", "stream/publish/carrying.py stream/publish/delivery.py "
        "stream/publish/spooled.py stream/publish/trimming.py "
     "stream/publish/redis_sink.py stream/publish/worker.py"),
    ("the rest of publishing", "stream/publish/"),
    ("subscription", "stream/subscribe/"),
    ("coverage and batcher", "stream/ingest/coverage.py stream/ingest/batcher.py"),
    ("decoders under watch", "stream/ingest/"),
    ("classifier", "hoiclip/classifier.py"),
    ("evaluation", "hoiclip/evaluation/"),
)  # fmt: skip


@dataclass(frozen=True)
class Verdicts:
    """The exit code of each mutant's tests, None where it was not judged yet."""

    codes: dict[str, int | None]
    paths: dict[str, str]

    @classmethod
    def load(cls) -> Verdicts:
        """Read what mutmut left."""
        codes: dict[str, int | None] = {}
        paths: dict[str, str] = {}
        for meta in sorted(FOLDER.rglob("*.py.meta")):
            path = str(meta.relative_to(FOLDER)).removesuffix(".meta")
            for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
                codes[name], paths[name] = code, path
        return cls(codes, paths)

    def names(self) -> list[str]:
        """All mutants."""
        return list(self.codes)

    def path_of(self, name: str) -> str:
        """The file that a mutant changes."""
        return self.paths[name]

    def is_open(self, name: str) -> bool:
        """Whether it was not judged yet."""
        return self.codes[name] is None

    def survived(self, name: str) -> bool:
        """Whether no test noticed it."""
        return self.codes[name] in SURVIVED


def part_of(path: str) -> str:
    """Return the part of the system that a file belongs to."""
    return next(name for name, beginnings in PARTS if any(path.startswith(start) for start in beginnings.split()))


def function_of(name: str) -> str:
    """Return the function that a mutant changes, such as ``stream.track.motion.BoxTracks.add``."""
    module, _, mangled = name.rpartition(".")
    function = mangled.rpartition("__mutmut_")[0]
    return f"{module}.{function.removeprefix('xǁ').replace('ǁ', '.').removeprefix('x_')}"


def change_of(name: str, path: str) -> str:
    """Return what a mutant changes, such as ``return a < b => return a <= b``."""
    spans = json.loads((FOLDER / f"{path}.spans").read_text())["spans"]
    lines = (FOLDER / path).read_text().splitlines()
    mangled = name.rpartition(".")[2]
    both = []
    for function in (f"{mangled.rpartition('__mutmut_')[0]}__mutmut_orig", mangled):
        first, last = spans[function]
        both.append([line.strip() for line in lines[first - 1 : last] if not line.strip().startswith("def ")])
    changed = [line for line in difflib.ndiff(*both) if line[:2] in ("- ", "+ ")]
    before = " ".join(line[2:] for line in changed if line.startswith("- "))
    after = " ".join(line[2:] for line in changed if line.startswith("+ "))
    return f"{before} => {after}"


def load_equivalent() -> dict[str, dict[str, str]]:
    """Return the reasons why changes make no difference, by function, by change."""
    found = yaml.safe_load(EQUIVALENT.read_text()) if EQUIVALENT.exists() else None
    return found or {}


def write_report(path: Path, verdicts: Verdicts) -> None:
    """Write the table of all that was judged so far, and what survived."""
    equivalent = load_equivalent()
    judged = [name for name in verdicts.names() if not verdicts.is_open(name)]
    survivors = {name: change_of(name, verdicts.path_of(name)) for name in judged if verdicts.survived(name)}
    excused = {
        name: equivalent[function_of(name)][change]
        for name, change in survivors.items()
        if change in equivalent.get(function_of(name), {})
    }
    lines = [*_HEAD, ""]
    lines += ["| part | mutants | judged | equivalent | noticed | of those that differ | 95 % interval |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for part in [name for name, _ in PARTS] + ["all"]:
        of_part = _of_part(verdicts, part, verdicts.names())
        here = _of_part(verdicts, part, judged)
        same = sum(name in excused for name in here)
        noticed = sum(name not in survivors for name in here)
        low, high = wilson(noticed, len(here) - same)
        share = f"{noticed / (len(here) - same):.1%}" if len(here) > same else ""
        lines.append(
            f"| {part} | {len(of_part)} | {len(here)} | {same} | {noticed} | {share} | {low:.1%} to {high:.1%} |"
        )
    lines += ["", "## Nobody noticed", ""]
    lines += _listed(f"`{function_of(name)}`: `{change}`" for name, change in survivors.items() if name not in excused)
    lines += ["", "## Makes no difference", ""]
    lines += _listed(f"`{function_of(name)}`: `{survivors[name]}`: {why}" for name, why in excused.items())
    write_whole(path, ("\n".join(lines) + "\n").encode())
    print("\n".join(lines[: lines.index("## Nobody noticed")]))


def _of_part(verdicts: Verdicts, part: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if part in ("all", part_of(verdicts.path_of(name)))]


def _listed(changes: Iterable[str]) -> list[str]:
    return [f"- {change}" for change in sorted(set(changes))] or ["Nothing."]


_HEAD = (
    "# Do the tests notice?",
    "",
    "Small changes are made to the code, one at a time (mutmut: operators, numbers, arguments, conditions, strings),",
    "and the tests that come through the changed function run. A change that no test notices is either without effect,",
    "with the reason, or a hole. What logs and errors say in words is not changed. Which mutants of a part were judged",
    "is drawn by a hash of seed and name, hence the interval (Wilson's, 95 %). Written by `make mutants`.",
)
