"""Makes the report of a run again, also while its search goes on: ``python -m tuning.report RUN``.

From what the run wrote down; of a run folder that holds nothing but ``report.json``, from that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tuning import summary
from tuning.arguments import Parser
from tuning.errors import UserError
from tuning.report.facts import load
from tuning.report.render import render, write


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = Parser(
        prog="python -m tuning.report",
        description="Makes report.html, report.md, report.json and trials.csv of a run again, "
        "also while its search goes on.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder, as in runs/NAME")
    try:
        run: Path = parser.parse_args(arguments).run
        if (run / "opening.json").exists():
            write(summary.gather(run), run)
        else:
            render(load(run), run)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write the report into {run}: {error.strerror}", file=sys.stderr)
        return 2
    print(run / "report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
