"""What several tests need: real photos, a cache of their own."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from object_store import Amazon, Google, ObjectStore, running

from tuning.process.backend import prefer_quicker_kernels

LONGEST = (
    *("test_whole_searches.py", "test_resume.py", "test_search.py", "test_api.py"),
    *("test_on_premises.py", "test_site.py", "test_benchmarks.py"),
    *("test_scan.py", "test_mixed_precision.py"),
)
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"

prefer_quicker_kernels()  # many tests import Keras themselves

# For tests side by side: Ray gives its workers the lowest priority, and a test that searches would
# wait for all others; workers before they are asked for, whom no trial uses, and threads that spin
# while they wait take time from other tests.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ |= {"RAY_worker_niceness": "0", "RAY_prestart_worker_first_driver": "0"}
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


@pytest.fixture(scope="session")
def all_photos() -> Path:
    """1,000 + 400 photos each of cats and dogs, in the article's layout."""
    folder = SHARED / "data" / "cats_and_dogs"
    assert folder.is_dir(), f"The tests' photos are missing: {folder}"
    return folder


@pytest.fixture(scope="session")
def photos(all_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 100 + 50 of each: whoever opens a folder compares all pictures in it."""
    folder = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 100), ("validation", 50)):
        for name in ("cats", "dogs"):
            (folder / split / name).mkdir(parents=True)
            for file in sorted((all_photos / split / name).iterdir())[:count]:
                (folder / split / name / file.name).symlink_to(file.resolve())
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that do not look into it: what is frozen is computed once for all of them, too."""
    place = tmp_path_factory.getbasetemp()
    return (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / "cache"


@pytest.fixture
def three_classes(tmp_path: Path, photos: Path) -> Path:
    """12 photos each of classes a, b and c, not split."""
    for name, source, start in (("a", "cats", 0), ("b", "dogs", 0), ("c", "cats", 20)):
        (tmp_path / "three" / name).mkdir(parents=True)
        for file in sorted((photos / "train" / source).iterdir())[start : start + 12]:
            (tmp_path / "three" / name / file.name).symlink_to(file.resolve())
    return tmp_path / "three"


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Grows whenever a network is traced to be compiled; each says whether for training."""
    from models.adjustable import AdjustableDropout

    seen: list[bool] = []
    call = AdjustableDropout.call

    def spied(self, inputs, training=False):
        seen.append(training)
        return call(self, inputs, training=training)

    monkeypatch.setattr(AdjustableDropout, "call", spied)
    return seen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: side by side, none of them is left alone at the end.

    Two play hosts, which one at a time can: of them one comes first and the other last.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool, bool]:
        name = item.path.name
        early = LONGEST.index(name) if name in LONGEST else len(LONGEST)
        return early, item.path not in slow, name == "test_autoscaling.py"

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What has been imported stays: no collection of a test's garbage goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", params=[Amazon, Google], ids=["s3", "gs"])
def object_store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """A real server of either kind."""
    with running(request.param) as store:
        yield store


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Plays another machine from then on: one with another home for what is kept in between."""

    def play(name: str) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return tmp_path / name

    play("here")
    return play
