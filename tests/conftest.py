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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: side by side, none of them is left alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
