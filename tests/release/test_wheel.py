"""What `make dist` builds is all that a user needs: installed, it works where no checkout is.

What it searches and predicts there, and its Python API, see tests/release/test_site.py.
"""

import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
import wheel
from wheel import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist."""
    files = wheel.build(tmp_path_factory.mktemp("dist"))
    check = [sys.executable, "-m", "twine", "check", "--strict", *files]
    subprocess.run(check, check=True, capture_output=True)
    return files


def test_it_holds_the_packages_and_what_they_read_and_nothing_else(built):
    names = zipfile.ZipFile(built[0]).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {each for each in tops if not each.endswith(".dist-info")} == {
        "tuning",
        "models",
        "search_spaces",
    }
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "tuning", "models", "search_spaces"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(tracked.stdout.split()) <= set(names)
    with tarfile.open(built[1]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "tuning/search.py"} <= inside


def test_installed_its_commands_are_found_beside_a_package_of_the_users(built, tmp_path):
    site = tmp_path / "site"
    wheel.install(built[0], site)
    (tmp_path / "models").mkdir()  # of the user's
    (tmp_path / "models" / "__init__.py").touch()
    (tmp_path / "models" / "mine.py").write_text("LAYERS = 3\n")

    def run(*words: object, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, site / "bin" / "little-data-tuner", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    for command in ("features", "serve", "export"):
        assert "usage" in run(command, "--help")
    assert "No model" in run("predict", "runs/second", "picture.jpg", code=2)
    assert "nowhere" in run("--data", "nowhere", code=2)  # which reads our `models` first
    # Ray's workers, where each of our packages lies in a folder of its own, find both as well.
    small = ("--trials", 1, "--epochs", 1, "--image-size", 32, "--no-experiments")
    assert "trial 0 finished" in run(*small, "--set", "network=convnet")
