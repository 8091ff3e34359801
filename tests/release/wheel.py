"""What `make dist` builds, and an installation of it where no checkout is."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist, built in a folder of their own."""
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
    return wheel, sdist


def install(wheel: Path, site: Path) -> None:
    """Puts a wheel into a folder that is none of an environment; its commands lie in `bin`."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        install += ["--target"]
    subprocess.run([*install, site, wheel], check=True, capture_output=True)
