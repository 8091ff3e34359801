"""The command `little-data-tuner`, and `python -m tuning`: a search, or what comes after it."""

import importlib
import sys

from tuning.process.interrupt import leave_at_once

COMMANDS = {
    "predict": "tuning.predict",
    "report": "tuning.report.__main__",
    "serve": "tuning.serve.__main__",
    "features": "tuning.features.__main__",
    "export": "tuning.export.__main__",
}


def main() -> int:
    """Runs the command that the first word names; without one, a search (`tuning.search.main`)."""
    leave_at_once()  # from the first moment: imports take seconds
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word[:1] not in ("", "-") and word not in COMMANDS:
        return _unknown(word)
    command = importlib.import_module(COMMANDS.get(word, "tuning.search"))
    code: int = command.main(sys.argv[2:] if word in COMMANDS else None)
    return code


def _unknown(word: str) -> int:
    from tuning.errors import UserError
    from tuning.process.commands import exit_code
    from tuning.wording import listed, meant

    def refuse() -> int:
        hint = meant(word, COMMANDS) or f"; there are {listed([*COMMANDS])}"
        raise UserError(f"There is no command {word}{hint}")

    return exit_code(refuse)


if __name__ == "__main__":
    sys.exit(main())
