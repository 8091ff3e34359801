"""Makes the report of a run again, also while its search goes on: ``python -m tuning.report RUN``.

From what the run wrote down; of a run folder that holds nothing but ``report.json``, from that.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tuning.errors import UserError
from tuning.process.commands import Parser, exit_code
from tuning.records.facts import Facts, load
from tuning.records.run_folder import RunFolder
from tuning.report.gather import gather
from tuning.report.render import render, write

PAUSE = 3.0  # seconds between two reports of a search that is watched


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = Parser(
        prog="python -m tuning.report",
        description="Makes report.html, report.md, report.json and trials.csv of a run again, "
        "also while its search goes on.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder, as in runs/NAME")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="make it again every few seconds until the search ends; the open page follows",
    )
    return exit_code(lambda: _run(parser.parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    facts = _make(options.run)
    print(options.run / "report.html", flush=True)
    while options.watch and facts["run"]["running"]:
        time.sleep(PAUSE)
        facts = _make(options.run)
    for warning in facts["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _make(run: Path) -> Facts:
    folder = RunFolder(run)
    try:
        if folder.metadata.exists():
            facts = gather(folder)
            write(facts, run)
        else:
            facts = load(run)
            render(facts, run)
    except OSError as error:
        raise UserError(f"cannot write the report into {run}: {error.strerror}") from None
    return facts


if __name__ == "__main__":
    sys.exit(main())
