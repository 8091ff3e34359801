"""An epoch as one call says what the same epoch step by step says; JAX alone."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("only JAX scans", allow_module_level=True)

import jax
from jax import monitoring
from jax.experimental.compilation_cache import compilation_cache

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.data.folds import fold
from tuning.features import FeatureCache
from tuning.training import networks, scan
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

CONVNET, BOTTLENECK, FINE_TUNE = (each.hyperparameters(2) for each in EXPERIMENTS)
FULL = levers.complete(
    {"unfrozen": 0, "augmentation": "none", "regularization": "both", "optimizer": "sgd"},
    2,
    space="full",
)
FULL |= {"width": 32, "label_smoothing": 0.1, "l1": 1e-5, "l2": 1e-4, "batch_size": 8}
MIXED = levers.complete({"network": "convnet", "mixup": 0.4, "batch_size": 8}, 2, space="full")
MIXED |= {"head_rate": 1e-4}  # or rounding grows from step to step
TUNED = FINE_TUNE | {"head_epochs": 1, "augmentation": "none"}
RECIPE = levers.complete({"unfrozen": 0, "augmentation": "none"}, 2, space="levers")
RECIPE |= {"batch_size": 8, "pooling": "standardised"}


@pytest.fixture
def context(photos, cache):
    # Of 32 px the last convolutions see 2 x 2 positions, on a CPU XLA's slowest by far.
    data = dataset.load(photos, cache=cache, image_size=48, per_class=(16, 6))
    return TrialContext(data, FeatureCache(cache, "float16"), vgg16_from("random"), views=2)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Networks of this test alone, all scanned as on a GPU."""
    monkeypatch.setattr(networks, "has_gpu", lambda: True)
    networks.forget()
    yield
    networks.forget()


def epochs(context, point, number=2):
    trial = TransferTrial(context, point)
    metrics = [trial.run_epoch() for _ in range(number)]
    return metrics, trial.weights


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(BOTTLENECK, id="head"),
        pytest.param(FULL, id="head-full"),
        pytest.param(RECIPE, id="recipe"),
        pytest.param(TUNED, id="top", marks=pytest.mark.soak),
        pytest.param(TUNED | {"augmentation": "flip"}, id="top-views"),
        pytest.param(CONVNET, id="convnet-augmented"),
        pytest.param(MIXED | {"augmentation": "crop"}, id="convnet-mixed"),
        pytest.param(BOTTLENECK | {"batch_size": 64}, id="one-partial-batch"),
    ],
)
def test_a_scanned_epoch_is_the_one_of_single_steps(context, point, monkeypatch):
    scanned, ours = epochs(context, point)
    networks.forget()
    monkeypatch.setattr(networks, "_is_scanned", lambda spec: False)
    stepped, theirs = epochs(context, point)
    for one, other in zip(scanned, stepped, strict=True):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            assert one[name] == pytest.approx(other[name], rel=1e-4)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(BOTTLENECK, id="head"),
        pytest.param(FULL, id="full"),
        pytest.param(CONVNET, id="convnet"),
        pytest.param(RECIPE, id="recipe"),
        pytest.param(MIXED, id="mixed"),
        # On a CPU a scan of so many convolutions takes minutes.
        pytest.param(TUNED, id="3 layers", marks=pytest.mark.soak),
        pytest.param(TUNED | {"unfrozen": 13}, id="13 layers", marks=pytest.mark.soak),
    ],
)
def test_twenty_points_of_a_shape_compile_once(context, point, tmp_path):
    # Its own cache: a head that another test has trained would be compiled after the first point.
    context = replace(context, cache=FeatureCache(tmp_path, "float16"))
    compiled = []
    monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: "backend_compile" in name and compiled.append(name)
    )
    epochs(context, point, 3)
    before = len(compiled)
    assert before > 0
    for number in range(19):
        levers = {"dropout": number / 40, "head_rate": 1e-3 / (1 + number)}
        levers |= {"fine_tune_rate": 1e-4 / (1 + number)} if point.get("unfrozen") else {}
        levers |= {"mixup": number / 20} if "mixup" in point else {}
        epochs(context, point | levers, 2 if number == 0 else 1)
    assert len(compiled) == before


def test_an_epoch_is_two_calls(context, monkeypatch):
    trial = TransferTrial(context, BOTTLENECK)
    trial.run_epoch()
    calls = []
    for name in ("_train", "_evaluate"):
        function = getattr(trial._network._scan, name)
        monkeypatch.setattr(
            trial._network._scan, name, lambda *a, f=function: calls.append(f) or f(*a)
        )
    monkeypatch.setattr(trial._network.model, "predict_on_batch", None)
    trial.run_epoch()
    assert len(calls) == 2


def test_a_trial_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(context, tmp_path):
    whole, weights = epochs(context, FULL, 3)
    trial = TransferTrial(context, FULL)
    trial.run_epoch()
    trial.save(tmp_path / "state.npz")
    networks.forget()
    again = TransferTrial(context, FULL)
    again.restore(tmp_path / "state.npz")
    assert [again.run_epoch()["loss"] for _ in range(2)] == [each["loss"] for each in whole[1:]]
    for one, other in zip(again.weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_call_that_fails_leaves_the_next_trial_sound(context, monkeypatch):
    wanted, _ = epochs(context, BOTTLENECK)
    trial = TransferTrial(context, BOTTLENECK)
    train = trial._network._scan._train

    def broken(values, *others):
        train(values, *others)  # takes the memory of the variables
        raise RuntimeError("out of memory")

    monkeypatch.setattr(trial._network._scan, "_train", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        trial.run_epoch()
    monkeypatch.undo()
    monkeypatch.setattr(networks, "has_gpu", lambda: True)
    after, _ = epochs(context, BOTTLENECK)
    assert [each["loss"] for each in after] == [each["loss"] for each in wanted]


def test_columns_stay_on_the_device_and_the_oldest_make_room(context, monkeypatch, tmp_path):
    context = replace(context, cache=FeatureCache(tmp_path, "float16"))  # a head to be trained
    tuned = TUNED | {"unfrozen": 1, "augmentation": "flip"}
    epochs(context, tuned, 4)
    kept = dict(scan._device.kept)
    # Features of the head and its validation, two views and plain ones of the top.
    assert len(kept) == 4
    epochs(context, tuned)
    assert all(scan._device.kept[name] is array for name, array in kept.items())
    monkeypatch.setattr(scan._device, "limit", max(each.nbytes for each in kept.values()))
    epochs(context, CONVNET, 1)
    assert len(scan._device.kept) == 1


def test_what_has_no_room_is_trained_step_by_step(context, monkeypatch):
    wanted, _ = epochs(context, BOTTLENECK)
    scan.forget()
    monkeypatch.setattr(scan._device, "limit", 1.0)
    found, _ = epochs(context, BOTTLENECK)
    assert not scan._device.kept
    for one, other in zip(found, wanted, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_half_a_device_has_room_for_half_as_much(context, monkeypatch):
    monkeypatch.setattr(scan._device, "limit", None)
    monkeypatch.setattr(scan._device, "part", 1.0)
    scan.share_device(0.5)
    epochs(context, BOTTLENECK, 1)
    assert scan._device.limit == scan.ON_CPU / 2
    scan.share_device(2)
    assert scan._device.part == 1


def test_a_fold_is_scanned_too(context):
    part = replace(context, dataset=fold(context.dataset, 0, 3))
    metrics, _ = epochs(part, BOTTLENECK | {"augmentation": "none"})
    assert all(np.isfinite(each["validation_loss"]) for each in metrics)


def test_compiled_functions_are_kept(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    compilation_cache.reset_cache()  # the tests' own
    try:
        scan.keep_compiled(tmp_path / "compiled")
        jax.jit(lambda x: x * 3 + 1)(np.arange(7.0)).block_until_ready()
        assert list((tmp_path / "compiled").iterdir())
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()


def test_on_a_cpu_convolutions_are_not_scanned(context, monkeypatch):
    monkeypatch.setattr(networks, "has_gpu", lambda: False)
    assert TransferTrial(context, BOTTLENECK)._network._scan
    assert not TransferTrial(context, CONVNET)._network._scan


def test_the_benchmark_prints_its_table(capsys, tmp_path):
    from benchmarks import gpu

    gpu.main(["--kinds", "head", "--image-size", "32", "--rows", "32"])
    printed = capsys.readouterr().out
    assert printed.count("one call") == printed.count("fit") == 2  # as it goes, and in the table
    losses = [line.split()[-1] for line in printed.splitlines()[-2:]]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-4)
