"""A few photos, and VGG16 with random weights, at a size at which a pass takes a second."""

import multiprocessing
import os
import subprocess

import keras
import numpy as np
import pytest

from models import backbones
from models.augmentation import augment
from models.units import PICTURE
from tuning.data import dataset
from tuning.features import PLAIN, FeatureCache
from tuning.features.entry import segment_name
from tuning.records.event_log import EventLog


@pytest.fixture
def data(photos, shared_cache):
    return dataset.load(photos, cache=shared_cache, image_size=32, per_class=(10, 4))


@pytest.fixture(scope="session")
def backbone():
    return backbones.load("vgg16", 32, "random", "rescale")


@pytest.fixture(scope="session")
def thin():
    """VGG16, an eighth as wide, where it does not matter what is computed."""
    x = pictures = keras.Input((32, 32, 3))
    for block, (count, channels) in enumerate([(2, 8), (2, 16), (3, 32), (3, 64), (3, 64)], 1):
        for number in range(1, count + 1):
            x = keras.layers.Conv2D(
                *(channels, 3, 1, "same"),
                activation="relu",
                kernel_initializer=keras.initializers.HeUniform(seed=10 * block + number),
                name=f"block{block}_conv{number}",
            )(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    scaled = keras.layers.Rescaling(1 / 255)
    return backbones.of_model(keras.Model(pictures, x), "thin", preprocessing=scaled)


@pytest.fixture(scope="session")
def processes():
    """Makes processes for which Keras, which takes seconds to import, is imported once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras"])
    return context


@pytest.fixture
def features(cache):
    return FeatureCache(cache, "float32", events=EventLog(cache.parent / "cache.jsonl"))


@pytest.fixture
def expected():
    def compute(split, backbone, frontier, view):
        pixels = np.asarray(split.pictures, np.float32)
        if view.policy != "none":
            pixels = augment(pixels, view.policy, view.number, split.digests)
        model = backbone.section(PICTURE, frontier)
        return model.predict(pixels, verbose=0)

    return compute


@pytest.fixture
def place(features, backbone):
    """Entry and segment that hold just a split's features, as a path."""

    def place(split, frontier, view=PLAIN):
        entry = features.entry(split, backbone, frontier, view)
        return f"{entry.key}/{segment_name(entry.pictures)}"

    return place


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a megabyte, of which most is taken."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only who may mount a disk can fill one up")
    (folder / "taken").write_bytes(bytes(950_000))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
