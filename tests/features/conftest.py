"""A few photos, and VGG16 with random weights, at a size at which a pass takes a second."""

import os
import subprocess

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
