"""One compiled network for many trials: as good as a fresh one, and nothing piles up."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models import network, vgg16
from models.adjustable import AdjustableDropout
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.training import networks
from tuning.training.context import TrialContext
from tuning.training.networks import Batches
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial
from tuning.training.trial import score

pytestmark = pytest.mark.slow

CONVNET, BOTTLENECK, FINE_TUNE = (each.hyperparameters(2) for each in EXPERIMENTS)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def context(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(24, 10))
    return TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"), views=2)


def curve(context, hyperparameters):
    trial = TransferTrial(context, hyperparameters)
    return [trial.run_epoch()["loss"] for _ in range(2)], trial.weights


@pytest.mark.parametrize(
    "unfrozen", [0, 13, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 3, 4, 6, 7, 10))]
)
def test_every_depth_trains_as_the_whole_network_does(context, unfrozen):
    """Against Keras' own VGG16, uncached, with its lower layers frozen; 2 epochs."""
    point = FINE_TUNE if unfrozen else BOTTLENECK
    point = point | {"unfrozen": unfrozen, "augmentation": "none", "head_epochs": 1}
    trial = TransferTrial(context, point)
    start = trial.weights
    ours = [trial.run_epoch() for _ in range(2)]

    weights = context.backbone.weights.arrays
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    base.trainable = True
    for layer in base.layers:
        layer.trainable = layer.name in vgg16.CONVS[len(vgg16.CONVS) - unfrozen :]
        if layer.name in vgg16.CONVS:
            layer.set_weights([weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]])
    top = network.head((1, 1, 512), 2, dropout=0.5, adjustable=True)
    full = keras.Sequential([keras.layers.Rescaling(1 / 255), base, top])
    full.build((None, 32, 32, 3))
    for variable, value in zip(full.trainable_variables, start, strict=True):
        variable.assign(value)
    optimizer = (
        keras.optimizers.SGD(point["fine_tune_rate"], momentum=0.9)
        if unfrozen
        else keras.optimizers.RMSprop(point["head_rate"])
    )
    full.compile(optimizer, "binary_crossentropy")
    train, validation = context.dataset.train, context.dataset.validation
    for epoch in range(2):
        order = np.random.default_rng((context.seed, epoch)).permutation(len(train))
        batches = Batches((np.asarray(train.pictures, np.float32),), train.labels, order, 16)
        loss = full.fit(batches, shuffle=False, verbose=0).history["loss"][0]
        assert ours[epoch]["loss"] == pytest.approx(loss, rel=1e-4)
        found = full.predict(np.asarray(validation.pictures, np.float32), verbose=0)
        wanted, _ = score(np.concatenate([1 - found, found], 1), validation.labels)
        assert ours[epoch]["validation_loss"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("point", [CONVNET, BOTTLENECK, FINE_TUNE], ids=["convnet", "head", "top"])
def test_a_trial_owes_nothing_to_the_one_before(context, point):
    point = point | {"regularization": "both", "l1": 1e-4, "l2": 1e-3}
    networks._compiled.clear()
    alone = curve(context, point)
    curve(context, point | {"dropout": 0.1, "head_rate": 3e-3, "l1": 1e-5, "l2": 1e-5})
    after = curve(context, point)
    np.testing.assert_allclose(after[0], alone[0], rtol=1e-6)
    for ours, theirs in zip(after[1], alone[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_other_strengths_are_trained_by_the_same_compiled_step(context, traces):
    networks._compiled.clear()
    first = curve(context, BOTTLENECK)
    seen = len(traces)
    assert traces.count(True) == 1  # the network was traced for training, and for evaluation
    second = curve(context, BOTTLENECK | {"dropout": 0.2, "head_rate": 3e-3})
    assert len(traces) == seen
    assert first[0] != second[0]


def test_dropout_and_penalties_do_what_keras_layers_do(context):
    """With dropout off both are exact; dropout's share and scale are compared in the mean."""
    backbone = context.backbone
    point = BOTTLENECK | {"dropout": 0.0, "l1": 1e-3, "l2": 1e-2}
    sizes = {"image_size": 32, "classes": 2, "backbone": backbone}
    ours = network.trainable(point | {"l1": 1.0}, adjustable=True, **sizes)
    network.restart(ours, point, backbone, 3)
    keras_own = network.trainable(point, seed=3, **sizes)
    inputs = np.random.default_rng(0).random((64, 1, 1, 512), np.float32)
    labels = np.arange(64)[:, None] % 2
    for model in (ours, keras_own):
        model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    for _ in range(3):
        losses = [model.train_on_batch(inputs, labels) for model in (ours, keras_own)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)

    levers = AdjustableDropout(0)
    levers.restart(7, 0.3, 0.0, 0.0)
    ones = np.ones((200, 500), np.float32)
    out = keras.ops.convert_to_numpy(levers(ones, training=True))
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / np.float32(0.7))}
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(levers(ones)), ones)


def test_two_trials_cannot_share_a_network(context):
    first = TransferTrial(context, BOTTLENECK)
    TransferTrial(context, BOTTLENECK)
    with pytest.raises(RuntimeError, match="taken the network over"):
        first.run_epoch()


MANY = """
import json, os, resource, sys
from pathlib import Path
from tuning.process.backend import follow

follow(os.environ.get("KERAS_BACKEND", "tensorflow"))
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.training import networks
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

cache = Path(sys.argv[2])
data = dataset.load(Path(sys.argv[1]), cache=cache, image_size=32, per_class=(16, 8))
context = TrialContext(data, FeatureCache(cache), vgg16_from("random"), views=2)
convnet, bottleneck, fine_tune = (each.hyperparameters(1) for each in EXPERIMENTS)
specs = [  # and the head of the fine-tuned ones, which is the bottleneck's
    convnet, bottleneck, fine_tune, convnet | {"augmentation": "none"},
    bottleneck | {"regularization": "l2", "l2": 1e-4},
]
points = [p | {"dropout": 0.1 * i, "head_rate": 10.0 ** -(2 + i)} for i in range(3) for p in specs]
networks.KEPT = int(sys.argv[3])
sizes = []
for number in range(int(sys.argv[4])):
    TransferTrial(context, points[number % len(points)]).run_epoch()
    sizes.append(resident())
print(json.dumps(sizes))
"""


@pytest.mark.parametrize(
    ("kept", "trials"),
    [
        pytest.param(16, 100, id="all kept", marks=pytest.mark.soak),
        pytest.param(2, 13, id="most thrown away"),
    ],
)
def test_memory_does_not_grow_from_trial_to_trial(photos, cache, kept, trials):
    """Many trials in one process, of 15 points whose networks have 5 shapes."""
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(photos), str(cache), str(kept), str(trials)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout.splitlines()[-1])
    assert len(sizes) == trials
    # Where each shape was trained twice: on some machines the second time takes more memory, too.
    assert sizes[-1] < 1.1 * sizes[9], [size // 2**20 for size in sizes]
