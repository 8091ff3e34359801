"""Over seeds, what is proposed beats chance, and does no worse than what Ray brings."""

import math
import statistics
import warnings

import optuna
import pytest

from benchmarks.search_quality import WAYS, best_after

SEEDS, EPOCHS = 16, 400


@pytest.mark.soak
def test_the_searcher_finds_better_points_for_the_same_epochs():
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ours, chance, stock = ([best_after(way, seed, EPOCHS) for seed in range(SEEDS)] for way in WAYS)

    def lead(other):
        gaps = [mine - theirs for mine, theirs in zip(ours, other, strict=True)]
        return statistics.mean(gaps), statistics.stdev(gaps) / math.sqrt(SEEDS)

    mean, error = lead(chance)
    assert mean > 2 * error > 0
    mean, error = lead(stock)
    assert mean > -2 * error


def test_the_same_seed_plays_the_same_search():
    assert best_after(WAYS[0], 1, 60) == best_after(WAYS[0], 1, 60)
