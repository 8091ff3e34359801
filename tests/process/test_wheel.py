"""What `make dist` builds is all that a user needs: installed, it works where no checkout is."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with wheel and sdist."""
    folder = tmp_path_factory.mktemp("dist")
    # Of a copy: setuptools leaves what it builds in the source's folder.
    source = folder / "source"
    files = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    for name in filter(None, files.stdout.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    check = [sys.executable, "-m", "twine", "check", "--strict", wheel, sdist]
    subprocess.run(check, check=True, capture_output=True)
    return folder


def test_it_holds_the_packages_and_what_they_read_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
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
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "tuning/search.py"} <= inside


def test_installed_it_searches_predicts_and_reports_where_no_checkout_is(built, photos, tmp_path):
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--target"]
    site = tmp_path / "site"
    subprocess.run([*install, site, wheel], check=True, capture_output=True)
    (tmp_path / "models").mkdir()  # of the user's
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

    run(
        *("--data", photos, "--per-class", 16, 8, "--image-size", 32, "--epochs", 1),
        *("--set", "network=convnet", "--trials", 1, "--name", "first", "--no-experiments"),
        *("--weights", "random"),
        *("--cpus-per-trial", os.cpu_count()),
    )
    assert (tmp_path / "runs" / "first" / "best" / "model.keras").is_file()
    picture = next((photos / "validation" / "cats").iterdir())
    assert "probability" in run("predict", "runs/first", picture)
    assert "report.html" in run("report", "runs/first")
    for command in ("features", "serve", "export"):
        assert "usage" in run(command, "--help")
    assert "No model" in run("predict", "runs/second", picture, code=2)
    where = "import tuning, sys; print(tuning.__file__); print(sorted(tuning.__all__))"
    told = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert str(site) in told.stdout
    assert "tune" in told.stdout
