"""Runs commands of this project, one after the other in one process, and notes how each ended.

`python commands.py CASES RESULTS`: of a JSON list of `[folder, module, arguments]` to JSON lines,
`[code, stdout, stderr, seconds]`. A code of -1 is a hang, of -2 a traceback.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

PATIENCE = 60  # seconds; none of these commands trains anything


class Hang(BaseException):
    """A command took too long; no `except Exception` takes it for its own."""


def run(folder: str, module: str, arguments: list[str]) -> tuple[int, str, str, float]:
    """One command, in the folder where its user stands."""
    os.chdir(folder)
    began = time.monotonic()
    out, err = io.StringIO(), io.StringIO()
    signal.alarm(PATIENCE)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = importlib.import_module(module).main(arguments)
    except Hang:
        code = -1
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        err.write(traceback.format_exc())
        code = -2
    finally:
        signal.alarm(0)
    return code, out.getvalue(), err.getvalue(), time.monotonic() - began


def too_long(number: int, frame: object) -> None:
    raise Hang


def main(cases: str, results: str) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    signal.signal(signal.SIGALRM, too_long)
    with Path(results).open("w", encoding="utf-8") as file:
        for each in json.loads(Path(cases).read_text(encoding="utf-8")):
            print(json.dumps(run(*each)), file=file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
