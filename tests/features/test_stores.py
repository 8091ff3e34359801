"""Features in an object store: computed by one machine, copied by others, trusted by none."""

import json
import re

import numpy as np
import pytest

from models import backbones
from tuning.data import dataset
from tuning.features import FeatureCache, View
from tuning.files.object_store import ObjectPath
from tuning.records.event_log import EventLog
from tuning.report.gather import cache_statistics

pytestmark = pytest.mark.slow


@pytest.fixture
def backbone(thin):
    return thin


@pytest.fixture
def features(object_store, machine, tmp_path, request):
    place = ObjectPath(object_store.url(re.sub(r"\W", "-", request.node.name)))
    return FeatureCache(place, "float32", events=EventLog(tmp_path / "cache.jsonl"))


@pytest.fixture(scope="module")
def few(photos, tmp_path_factory):
    """As many photos as are needed, since all in a folder are compared with each other."""
    folder = tmp_path_factory.mktemp("few")
    for split, count in (("train", 36), ("validation", 4)):
        for name in ("cats", "dogs"):
            (folder / split / name).mkdir(parents=True)
            for file in sorted((photos / split / name).iterdir())[:count]:
                (folder / split / name / file.name).symlink_to(file.resolve())
    return folder


@pytest.fixture
def data(few, features):
    # More than a block, and no whole number of them.
    return dataset.load(few, cache=features.root, image_size=32)


def elsewhere(features):
    """The cache as it arrives on another machine."""
    return FeatureCache(features.root, "float32", events=features.events)


def builds(features):
    return [e["frontier"] for e in features.events.read() if e["event"] == "build"]


def test_what_one_machine_computes_another_copies(data, features, expected, machine):
    backbone = backbones.load("vgg16", 32, "random", "rescale")  # worth keeping in passing
    view = View("article", 1)
    found = features.features(data.train, backbone, "block5_pool", view)
    wanted = expected(data.train, backbone, "block5_pool", view)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * wanted.max())
    built = builds(features)
    home = machine("worker")
    other = elsewhere(features)
    copy = other.features(data.train, backbone, "block5_pool", view)
    assert isinstance(copy, np.memmap)
    assert str(copy.filename).startswith(str(home))
    np.testing.assert_array_equal(copy, found)
    # What the pass went through is there as well: a deeper entry starts from it.
    other.features(data.train, backbone, "block5_conv1", view)
    starts = [e["start"] for e in features.events.read() if e["event"] == "build"]
    assert starts[len(built) :] == ["block4_pool"]
    assert cache_statistics(features.events)["multiples"] == 0


def test_several_machines_write_one_entry(data, features, backbone, expected, machine):
    def runner(job, backbone):
        written = []
        for number, rows in enumerate(job.shards(1)):
            machine(f"builder-{number}")
            written.append(job.run(backbone, rows))
        assert len(written) == 2
        return written[0] + written[1]

    features.build(data.train, backbone, "block5_pool", View(), runner)
    machine("reader")
    found = elsewhere(features).features(data.train, backbone, "block5_pool")
    wanted = expected(data.train, backbone, "block5_pool", View())
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * wanted.max())


def test_a_copy_that_was_altered_is_copied_again(data, features, backbone, place):
    found = np.array(features.features(data.train, backbone, "block5_pool"))
    built = builds(features)
    file = features.folder / place(data.train, "block5_pool") / "features.npy"
    file.write_bytes(file.read_bytes()[:-4] + b"abcd")
    again = elsewhere(features).features(data.train, backbone, "block5_pool")
    np.testing.assert_array_equal(again, found)
    assert builds(features) == built


@pytest.mark.parametrize("damage", ["block altered", "block missing", "header", "other entry's"])
def test_what_is_damaged_in_the_store_is_computed_again(
    data, features, backbone, machine, place, damage, caplog
):
    found = np.array(features.features(data.train, backbone, "block5_pool"))
    there = features.store.place / place(data.train, "block5_pool")
    if damage == "block altered":
        (there / "000000064").write(bytes(len((there / "000000064").read())))
    elif damage == "block missing":
        (there / "000000000").remove()
    elif damage == "header":
        (there / "entry.json").write(b"{")
    else:
        header = json.loads((there / "entry.json").read())
        header["identity"]["view"] = 7
        (there / "entry.json").write(json.dumps(header).encode())
    machine("worker")
    again = elsewhere(features).features(data.train, backbone, "block5_pool")
    np.testing.assert_array_equal(again, found)
    assert "damaged and computed again" in caplog.text
    assert [e["event"] for e in features.events.read()].count("damaged") == 1
    machine("third")
    np.testing.assert_array_equal(
        elsewhere(features).features(data.train, backbone, "block5_pool"), found
    )
    assert cache_statistics(features.events)["multiples"] == 0


def test_half_a_segment_is_none(data, features, backbone, place, machine):
    """Of a builder that died before it wrote the header."""
    features.features(data.train, backbone, "block5_pool")
    (features.store.place / place(data.train, "block5_pool") / "entry.json").remove()
    machine("worker")
    other = elsewhere(features)
    assert other.missing(data.train, backbone, "block5_pool") == len(data.train)
    other.features(data.train, backbone, "block5_pool")
    assert not other.missing(data.train, backbone, "block5_pool")


def test_copies_keep_to_the_limit_and_the_store_keeps_all(data, features, backbone, place):
    size = features.features(data.train, backbone, "block4_pool").nbytes
    features.release()
    small = FeatureCache(features.root, "float32", limit=size + 10_000)
    small.features(data.train, backbone, "block5_pool")
    kept = [each.relative_to(small.folder).as_posix() for each in small.folder.glob("*/*")]
    assert kept == [place(data.train, "block5_pool")]
    assert not small.missing(data.train, backbone, "block4_pool")
