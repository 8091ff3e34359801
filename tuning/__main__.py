"""The command `little-data-tuner`, and `python -m tuning`: what `tuning/search.py` does."""

import sys

from tuning.process.interrupt import leave_at_once


def main() -> int:
    """Runs the command line; see `tuning.search.main`."""
    leave_at_once()  # from the first moment: imports take seconds
    from tuning.search import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
