"""Where classes have few pictures: what each counts, and what a search goes by then."""

import dataclasses

import numpy as np
import pytest

from search_spaces import levers
from tuning.data import dataset
from tuning.evaluation import metrics
from tuning.features import FeatureCache
from tuning.training import networks
from tuning.training.class_weights import class_weights
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

LABELS = np.array([0] * 90 + [1] * 9 + [2])


def test_weights_by_hand():
    assert class_weights("none", LABELS, 3) is None
    inverse = class_weights("inverse", LABELS, 3)
    np.testing.assert_allclose(inverse, [100 / 270, 100 / 27, 100 / 3])
    effective = class_weights("effective", LABELS, 3)
    number = (1 - 0.999 ** np.array([90, 9, 1])) / 0.001
    np.testing.assert_allclose(effective * number, effective[0] * number[0])
    for weights in (inverse, effective):
        assert weights[LABELS].mean() == pytest.approx(1)


@pytest.fixture
def context(photos, tmp_path, cache):
    """40 photos of cats to train on, and 4 of dogs."""
    for split, cats, dogs in (("train", 40, 4), ("validation", 12, 12)):
        for name, number in (("cats", cats), ("dogs", dogs)):
            place = tmp_path / "d" / split / name
            place.mkdir(parents=True)
            for file in sorted((photos / split / name).iterdir())[:number]:
                (place / file.name).symlink_to(file)
    data = dataset.load(tmp_path / "d", cache=cache, image_size=32)
    return TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"))


def trained(context, **levers_of):
    point = levers.complete(
        {"unfrozen": 0, "augmentation": "none", **levers_of}, 6, space="levers", imbalanced=True
    )
    # Pixels in 0..1: of larger ones a network of random weights is surer than floats can say.
    trial = TransferTrial(context, point | {"batch_size": 8, "preprocessing": "rescale"})
    return [trial.run_epoch() for _ in range(6)], trial


@pytest.mark.slow
def test_pictures_of_a_rare_class_count_more_and_nothing_is_compiled_anew(context, traces):
    networks.forget()
    said = {}
    for kind in levers.CLASS_WEIGHTS:
        _, trial = trained(context, class_weights=kind)
        seen = len(traces)
        dogs = trial.probabilities(context.dataset.validation)[:, 1].astype(float)
        said[kind] = np.log(dogs / (1 - dogs)).mean()
    assert len(traces) == seen
    assert said["inverse"] > said["none"] + 1
    # Of a few pictures the second is worth almost as much as the first.
    assert abs(said["effective"] - said["inverse"]) < 0.3 * (said["inverse"] - said["none"])


def test_epochs_are_judged_by_the_searchs_metric(context):
    other = dataclasses.replace(context, metric="balanced_accuracy")
    found, trial = trained(other)
    validation = context.dataset.validation
    last = trial.probabilities(validation)
    wanted = metrics.score("balanced_accuracy", last, validation.labels, ("cats", "dogs"))
    assert found[-1]["validation_score"] == pytest.approx(wanted)
    scores = [each["validation_score"] for each in found]
    assert found[-1]["best_score"] == max(scores) == trial.best.score
    assert found[trial.best.epoch - 1]["validation_accuracy"] == trial.best.accuracy
    by_recall, _ = trained(dataclasses.replace(context, metric="recall:cats"))
    assert by_recall[-1]["best_score"] > 0.9  # nearly all are taken for cats


def test_a_checkpoint_keeps_the_score(context, tmp_path):
    context = dataclasses.replace(context, metric="auc")
    found, trial = trained(context)
    trial.save(tmp_path / "checkpoint.npz")
    again = TransferTrial(context, trial.hyperparameters)
    again.restore(tmp_path / "checkpoint.npz")
    assert again.best.score == trial.best.score == found[-1]["best_score"]
    assert again.best.accuracy == trial.best.accuracy


def test_class_weights_are_a_lever_where_classes_differ_in_size():
    names = levers.complete({}, 5, space="levers").keys()
    assert "class_weights" not in names
    assert levers.complete({}, 5, space="levers", imbalanced=True)["class_weights"] == "none"
    assert "class_weights" not in levers.complete({}, 5, imbalanced=True)  # as in the article
