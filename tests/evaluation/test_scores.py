"""What is claimed of a model: measures with known answers, folds, repeats."""

import base64
import io
from dataclasses import replace

import numpy as np
import optuna
import pytest
from PIL import Image

from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.data.folds import fold
from tuning.evaluation import repeats, scores
from tuning.evaluation.importances import importances
from tuning.evaluation.intervals import wilson
from tuning.features import PLAIN, FeatureCache
from tuning.records.event_log import EventLog
from tuning.records.trial_log import TrialLog
from tuning.report.gather import cache_statistics
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

pytestmark = pytest.mark.slow

CONVNET, BOTTLENECK, FINE_TUNE = EXPERIMENTS


def two(*second):
    """Probabilities of two classes."""
    return np.stack([1 - np.array(second), np.array(second)], axis=1)


def test_measures_of_a_small_example():
    said = two(0.1, 0.4, 0.35, 0.8)  # the example of scikit-learn's documentation of the ROC curve
    found = scores.measure(said, np.array([0, 0, 1, 1]), ("cat", "dog"))
    assert found["accuracy"] == 0.75
    assert found["auc"] == 0.75
    assert found["confusion"] == [[2, 0], [1, 1]]
    assert found["recall"] == {"cat": 1.0, "dog": 0.5}
    assert found["loss"] == pytest.approx(-np.log([0.9, 0.6, 0.35, 0.8]).mean())
    assert found["interval"] == pytest.approx(wilson(3, 4))


def test_measures_of_several_classes():
    said = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.2, 0.5, 0.3]])
    found = scores.measure(said, np.array([0, 1, 2, 2]), ("a", "b", "c"))
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert found["recall"] == {"a": 1.0, "b": 1.0, "c": 0.5}
    assert found["auc"] == 1.0


def test_calibration_error():
    confidence = np.array([0.95, 0.95, 0.65, 0.65])
    found = scores.calibration(confidence, np.array([True, False, True, True]))
    assert [each["pictures"] for each in found["bins"]] == [2, 2]
    assert found["error"] == pytest.approx((abs(0.95 - 0.5) + abs(0.65 - 1.0)) / 2)
    sure = scores.calibration(np.array([1.0]), np.array([True]))
    assert sure["error"] == 0.0


@pytest.fixture
def context(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=48, per_class=(15, 9))
    events = EventLog(cache / "cache.jsonl")
    return TrialContext(data, FeatureCache(cache, events=events), vgg16_from("random"), views=2)


def test_the_surest_mistakes_come_first(context):
    split = context.dataset.validation
    said = two(*np.linspace(0.01, 0.99, len(split)))
    asked = []

    def heated(picture, label):
        asked.append(label)
        return 255 - picture

    found = scores.mistakes(said, split, ("cats", "dogs"), heated)
    wrong = (said.argmax(axis=1) != split.labels).sum()
    assert (found["wrong"], found["pictures"], found["split"]) == (wrong, 18, "validation")
    sureness = [each["probability"] for each in found["most_confident"]]
    assert sureness == sorted(sureness, reverse=True)
    for each in found["most_confident"]:
        assert each["truth"] != each["predicted"]
        assert each["file"].split("/")[1] == each["truth"]
        picture = Image.open(io.BytesIO(base64.b64decode(each["thumbnail"])))
        assert picture.format == "JPEG"
        assert max(picture.size) <= 96
        heat = Image.open(io.BytesIO(base64.b64decode(each["heat"])))
        # Of the same picture, for what it was taken for.
        assert np.abs(255 - np.asarray(heat, int) - np.asarray(picture)).mean() < 12
    predicted = [("cats", "dogs").index(each["predicted"]) for each in found["most_confident"]]
    assert asked == predicted
    without = scores.mistakes(said, split, ("cats", "dogs"))["most_confident"]
    assert all(each["heat"] is None for each in without)


def test_every_picture_is_validated_on_once_and_classes_keep_their_shares(context):
    data = context.dataset
    seen = []
    for number in range(4):
        part = fold(data, number, 4)
        assert not set(map(bytes, part.train.digests)) & set(map(bytes, part.validation.digests))
        assert abs(np.bincount(part.validation.labels)[0] - len(part.validation) / 2) <= 1
        seen += [bytes(each) for each in part.validation.digests]
    whole = [bytes(d) for split in (data.train, data.validation) for d in split.digests]
    assert sorted(seen) == sorted(whole)


def test_a_trial_may_have_a_division_of_its_own(context):
    data, seen = context.dataset, []
    of_trials = replace(context, resplit=True)
    for number in (0, 1, 1):
        part = of_trials.of_trial(number).dataset
        sides = [set(map(bytes, each.digests)) for each in (part.train, part.validation)]
        assert not sides[0] & sides[1]
        assert len(part.validation) == len(data.validation)
        assert np.bincount(part.validation.labels).tolist() == (
            np.bincount(data.validation.labels).tolist()
        )
        path, picture = part.validation.paths[3], part.validation.pictures[3]
        whole = data.train if path in data.train.paths else data.validation
        np.testing.assert_array_equal(picture, whole.pictures[whole.paths.index(path)])
        seen.append(part.validation.paths)
    assert seen[0] != seen[1] == seen[2]
    assert of_trials.of_trial(5, "bottleneck").dataset is data
    assert context.of_trial(5).dataset is data


@pytest.mark.parametrize("experiment", [BOTTLENECK, FINE_TUNE, CONVNET], ids=lambda each: each.name)
def test_a_fold_trains_on_features_that_are_there(context, experiment):
    for split in (context.dataset.train, context.dataset.validation):
        for frontier in ("block4_pool", "block5_pool"):
            context.cache.features(split, context.backbone, frontier)
    before = cache_statistics(context.cache.events)["builds"]
    part = replace(context, dataset=fold(context.dataset, 1, 3))
    features = part.cache.features(part.dataset.train, part.backbone, "block5_pool")
    pictures = [bytes(d) for d in context.dataset.train.digests]
    first = pictures.index(bytes(part.dataset.train.digests[0]))
    alone = context.cache.features(context.dataset.train, context.backbone, "block5_pool", PLAIN)
    np.testing.assert_array_equal(features[np.array([0])][0], alone[first])
    trial = TransferTrial(
        part, experiment.hyperparameters(2) | {"augmentation": "none", "epochs": 2}
    )
    metrics = [trial.run_epoch() for _ in range(2)]
    assert all(np.isfinite(each["validation_loss"]) for each in metrics)
    assert cache_statistics(context.cache.events)["builds"] == before


def record_of(trial_log, number, accuracies, hyperparameters, status="finished"):
    trial_log.start(number, hyperparameters)
    for epoch, accuracy in enumerate(accuracies, 1):
        values = {"loss": 1.0, "accuracy": 0.5, "validation_loss": 1.0}
        trial_log.epoch(number, values | {"epoch": epoch, "validation_accuracy": accuracy})
    trial_log.end(number, status)


def test_the_best_mean_wins_not_the_luckiest(tmp_path):
    searched = TrialLog(EventLog(tmp_path / "a"))
    record_of(searched, 4, [0.9, 0.95], {"epochs": 2})
    record_of(searched, 7, [0.93, 0.92], {"epochs": 2})
    repeated = repeats.confirming([searched.records[4], searched.records[7]], 2, 2, seed=0)
    assert [(each.trial, each.seed) for each in repeated] == [
        (4, 1000),
        (4, 1001),
        (7, 1000),
        (7, 1001),
    ]
    again = TrialLog(EventLog(tmp_path / "b"))
    for place, best in enumerate((0.9, 0.86, 0.91, 0.93)):
        record_of(again, place, [0.5, best], {"epochs": 2})
    found = repeats.confirmation(repeated, again.records)
    assert found["winner"] == 7
    assert [each["mean"] for each in found["candidates"]] == pytest.approx([0.88, 0.92])
    assert found["candidates"][1]["sd"] == pytest.approx(0.0141, abs=1e-4)
    record_of(again, 3, [0.5], {"epochs": 2}, "interrupted")
    assert repeats.confirmation(repeated, again.records) is None


def test_folds_are_judged_after_the_epochs_that_the_search_chose(tmp_path):
    searched = TrialLog(EventLog(tmp_path / "a"))
    record_of(searched, 4, [0.9, 0.95, 0.7], {"epochs": 3})
    folded = repeats.folding(searched.records[4], 3, seed=5)
    assert [each.hyperparameters["epochs"] for each in folded] == [2, 2, 2]
    assert [each.fold for each in folded] == [(0, 3), (1, 3), (2, 3)]
    again = TrialLog(EventLog(tmp_path / "b"))
    for place in range(3):
        record_of(again, place, [0.99, 0.8 + place / 10], {"epochs": 2})
    found = repeats.cross_validation(folded, again.records)
    assert found["accuracies"] == pytest.approx([0.8, 0.9, 1.0])


def test_the_lever_that_decides_is_found():
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    assert importances(study) is None
    study.optimize(
        lambda trial: (
            trial.suggest_float("much", 0, 1) + 0.05 * trial.suggest_float("little", 0, 1)
        ),
        n_trials=40,
    )
    found = importances(study)
    assert found["trials"] == 40
    for shares in found["methods"].values():
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["much"] > 0.8


def test_the_surest_pictures_are_answered_first():
    confidence = np.array([0.99, 0.9, 0.8, 0.8, 0.6, 0.5])
    right = np.array([True, True, True, False, False, True])
    found = scores.answered(confidence, right, points=6)
    assert [each["min_probability"] for each in found] == [0.99, 0.9, 0.8, 0.6, 0.5]
    assert [each["share"] for each in found] == pytest.approx([1 / 6, 2 / 6, 4 / 6, 5 / 6, 1])
    assert [each["accuracy"] for each in found] == pytest.approx([1, 1, 3 / 4, 3 / 5, 4 / 6])
    assert len(scores.answered(confidence, right)) == 5
