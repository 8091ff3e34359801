"""What several tests need: real photos, a cache of their own."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def photos() -> Path:
    """1,000 + 400 photos each of cats and dogs, in the article's layout."""
    folder = SHARED / "data" / "cats_and_dogs"
    assert folder.is_dir(), f"The tests' photos are missing: {folder}"
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


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
    from models.adjustable import Levers

    seen: list[bool] = []
    call = Levers.call

    def spied(self, inputs, training=False):
        seen.append(training)
        return call(self, inputs, training=training)

    monkeypatch.setattr(Levers, "call", spied)
    return seen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: side by side, none of them is left alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
