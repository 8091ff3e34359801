"""Writes the best model of a run in other formats: `python -m tuning.export RUN`."""

import sys

from tuning.export.model import main

if __name__ == "__main__":
    sys.exit(main())
