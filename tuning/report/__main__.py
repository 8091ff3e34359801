"""Makes the report of a run again, also while its search goes on: ``python -m tuning.report RUN``.

From what the run wrote down; of a run folder that holds nothing but ``report.json``, from that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tuning.errors import UserError
from tuning.process.commands import Parser, exit_code
from tuning.records.facts import load
from tuning.records.run_folder import RunFolder
from tuning.report.gather import gather
from tuning.report.render import render, write


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = Parser(
        prog="python -m tuning.report",
        description="Makes report.html, report.md, report.json and trials.csv of a run again, "
        "also while its search goes on.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder, as in runs/NAME")
    return exit_code(lambda: _run(parser.parse_args(arguments).run))


def _run(run: Path) -> int:
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
    for warning in facts["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(run / "report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
