"""Modules of the user's and of ours under one name, whichever of the two Python finds first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuning.errors import UserError
from tuning.training.context import NamedHyperModel
from tuning.training.hypermodel import load

ROOT = Path(__file__).resolve().parents[2]

# Installed to be worked on: found after all of `sys.path`, where even a folder without
# `__init__.py` comes first.
EDITABLE = f"""
import sys
from importlib.util import spec_from_file_location

class Installed:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("tuning", "models", "search_spaces"):
            return spec_from_file_location(name, "{ROOT}/" + name + "/__init__.py")

sys.meta_path = [each for each in sys.meta_path if "editable" not in repr(each).lower()]
sys.meta_path.append(Installed)
"""
FIRST = f"import sys; sys.path[0] = {str(ROOT)!r}"  # as `python tuning/search.py` has it
AFTER = f"import sys; sys.path.append({str(ROOT)!r})"


@pytest.mark.parametrize("place", [EDITABLE, FIRST, AFTER], ids=["editable", "first", "after"])
@pytest.mark.parametrize("content", [None, "", "from NAME.resnet import Net"])
def test_both_are_found_and_stay_found(tmp_path, place, content):
    for name in ("models", "search_spaces"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "resnet.py").write_text("class Net: pass")
        if content is not None:
            (tmp_path / name / "__init__.py").write_text(content.replace("NAME", name))
    code = f"""{place}
from pathlib import Path
from tuning.process.packages import share_names
share_names(Path.cwd())
sys.path.append("elsewhere")  # others change it as well
from importlib.util import find_spec
for name in ("models.convnet", "models.resnet", "search_spaces.domain", "search_spaces.resnet"):
    print(find_spec(name).origin)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        str(ROOT / "models" / "convnet.py"),
        str(tmp_path / "models" / "resnet.py"),
        str(ROOT / "search_spaces" / "domain.py"),
        str(tmp_path / "search_spaces" / "resnet.py"),
    ], done.stderr


def test_a_module_that_fails_is_not_said_to_be_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr("models.__path__", sys.modules["models"].__path__[:])
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "resnet.py").write_text("import nowhere_to_be_found")
    with pytest.raises(UserError, match=r"No module named 'nowhere_to_be_found'$"):
        load(NamedHyperModel("models.resnet:Net", str(tmp_path)), None)
