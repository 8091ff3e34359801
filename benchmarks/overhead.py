"""What a trial costs beyond its training: 30 trials of one tiny epoch, one at a time.

From the end of a trial to the end of the next, less the seconds of its epoch: Ray Tune's
scheduling, Optuna's proposing and storing, beginning the trial in its worker, keeping its best
weights. Beside it bare Ray Tune with a trainable that does nothing. Both reuse their workers.

    python -m benchmarks.overhead [--trials 30]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from ray import tune

from benchmarks.listed import Outcome, run, run_points
from benchmarks.machine import PHOTOS, describe, table
from search_spaces import levers
from tuning.cluster.joining import connected
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.process.backend import import_keras
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from


class Nothing(tune.Trainable):  # type: ignore[misc]
    """Ends after one step."""

    def step(self) -> dict[str, Any]:
        return {"done": True, "seconds": 0.0, "validation_accuracy": 0.0}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=30)
    options = parser.parse_args()
    import_keras(Path(os.devnull))  # here, since workers that sleep or do nothing need it not
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)  # for Ray's workers
    cpus = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, connected(None):
        folder = Path(name)
        data = dataset.load(PHOTOS, cache=folder, per_class=(16, 8), image_size=64)
        context = TrialContext(data, FeatureCache(folder / "cache"), vgg16_from("random"))
        points = [
            levers.complete(
                {
                    "network": "vgg16",
                    "unfrozen": number % 2,
                    "augmentation": "none",
                    "dropout": 0.05 * (number % 16),
                    "regularization": "both",
                }
                | ({"head_epochs": 1} if number % 2 else {}),
                1,
            )
            for number in range(options.trials)
        ]
        ours = run_points(context, points, folder / "ours", cpus)
        bare = run(Nothing, folder / "bare", options.trials, cpus, reuse_actors=True)
    print(f"{describe()}\n")
    rows = [(name, *_beyond(way)) for name, way in {"this project": ours, "bare": bare}.items()]
    print(table(("seconds beyond training", "first", "median of the rest", "worst"), rows))


def _beyond(outcomes: list[Outcome]) -> tuple[float, float, float]:
    first, *rest = (each.seconds - sum(each.epochs) for each in outcomes)
    return first, statistics.median(rest), max(rest)


if __name__ == "__main__":
    main()
