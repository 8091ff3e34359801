"""Features that the tests of training share, as trials do."""

from pathlib import Path

import pytest


@pytest.fixture
def cache(shared_cache: Path) -> Path:
    return shared_cache
