"""The images' files: linted, and their commands tried in order, as far as that goes without Docker.

What they copy is there, and what they install can be had together with what is pinned.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("Dockerfile", "gpu.Dockerfile", "clusters/Dockerfile")


@pytest.mark.parametrize("name", FILES)
def test_the_linter_has_nothing_to_say(name):
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / name], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_its_commands_can_be_followed_in_order(name, tmp_path):
    text = (ROOT / name).read_text()
    commands = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    assert commands[0].startswith("FROM python:3.12")
    installed = False
    for command in commands[1:]:
        verb, _, rest = command.partition(" ")
        if verb == "COPY":
            *sources, target = rest.split()
            for source in sources:
                place = tmp_path / target / source if target.endswith("/") else tmp_path / target
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place)
        elif verb == "RUN" and "pip install" in rest:
            (last,) = (shlex.split(each) for each in rest.split("&&") if "pip install" in each)
            words = [each for each in last[2:] if each != "--no-cache-dir"]
            # On this Python, and no further than knowing what would be installed.
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--ignore-installed"]
            if uv := shutil.which("uv"):
                pip = [uv, "pip", "install", "--target", str(tmp_path / "site")]
            done = subprocess.run(
                [*pip, "--dry-run", *words], cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            installed = True
    assert installed
    last = [command for command in commands if command.startswith("USER")]
    assert last == ["USER 1000"]  # not as root
