"""Writes the best model of a run in other formats: `python -m tuning.export RUN`."""

import sys

from tuning.process.interrupt import leave_at_once

if __name__ == "__main__":
    leave_at_once()  # from the first moment: imports take seconds

from tuning.export.model import main

if __name__ == "__main__":
    sys.exit(main())
