"""Change the code in small ways, one at a time, and see whether a test notices: `make mutants`.

mutmut makes the mutants and runs, for each, the tests that come through its function, in a process forked from one
that has imported everything. Verdicts stay in `mutants/`: a run that was stopped goes on where it was, and a function
that changed is judged anew. With `SAMPLE` a part is drawn by `SEED`, equal for equal code, and the report gives an
interval. `SURVIVORS=1` tries again, after tests were written, what no test noticed before.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.report import Verdicts, write_report
from tests.mutants.sampling import drawn

REPORT = Path("docs/mutants.md")


def main() -> None:
    """Make the mutants, run those that are drawn and not judged yet, and write the report."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="files whose path begins so, such as stream/track")
    parser.add_argument("--sample", type=float, default=1.0, help="the part of all mutants that is drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--survivors", action="store_true", help="try again what no test noticed")
    parser.add_argument("--report", action="store_true", help="only write the report")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    verdicts = Verdicts.load() if options.report else _make(options.workers)
    sample = drawn(verdicts.names(), options.sample, options.seed)
    waiting = [name for name in sample if verdicts.path_of(name).startswith(options.only)]
    waiting = [n for n in waiting if verdicts.is_open(n) or (options.survivors and verdicts.survived(n))]
    if waiting and not options.report:
        print(f"{len(waiting)} mutants to judge")
        _judge(waiting, options.workers)
        verdicts = Verdicts.load()
    write_report(REPORT, verdicts)


def _make(workers: int) -> Verdicts:
    """Write the mutants of all files into `mutants/`; verdicts of functions that did not change stay."""
    from mutmut.__main__ import create_mutants
    from mutmut.configuration import config
    from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

    Path("mutants").mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    for folder in config().source_paths:  # mutmut copies what is no Python once only
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                shutil.copy2(path, "mutants" / path)
    create_mutants(workers)
    return Verdicts.load()


def _judge(names: Sequence[str], workers: int) -> None:
    """Run the tests of the mutants `names`, the quickest first, so that most fall within a second."""
    from mutmut.__main__ import cli
    from mutmut.state import state
    from mutmut.workers.isolation import ForkServerRunner

    submit = ForkServerRunner.submit

    def submit_sorted(self: ForkServerRunner, name: str, tests: list[str], limit_s: int, estimate_s: float) -> None:
        submit(self, name, sorted(tests, key=lambda test: state().duration_by_test[test]), limit_s, estimate_s)

    ForkServerRunner.submit = submit_sorted
    cli(["run", "--max-children", str(workers), *names], standalone_mode=False)


if __name__ == "__main__":
    main()
