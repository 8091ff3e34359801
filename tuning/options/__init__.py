"""What a user may ask for: one dataclass; the command line and TOML are derived from it."""

from tuning.options.options import RUNS, Options

__all__ = ["RUNS", "Options"]
