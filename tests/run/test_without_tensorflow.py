"""A search, its model and predictions where TensorFlow is not installed: all with JAX."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "tensorflow", reason="seen with JAX"),
]

# Python runs this first; in workers as well, which get the same path.
HIDDEN = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "ai_edge_litert"):
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


def test_a_search_goes_with_jax_and_its_model_predicts(photos, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment |= {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )

    away = run("-c", "import tensorflow")
    assert "No module named 'tensorflow'" in away.stderr
    done = run(
        *(ROOT / "tuning" / "search.py", "--data", photos, "--per-class", 24, 12),
        *("--image-size", 48, "--weights", "random", "--trials", 2, "--epochs", 2),
        *("--set", "network=vgg16", "unfrozen=0", "augmentation=none", "--name", "jax"),
        *("--no-experiments", "--cpus-per-trial", os.cpu_count()),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "runs" / "jax" / "report.json").read_text())
    assert facts["hardware"]["backend"] == "jax"
    assert {each["status"] for each in facts["trials"]} <= {"finished", "stopped"}
    assert facts["cost"]["spent"]["compiling"] > 0
    pictures = sorted((photos / "validation" / "cats").iterdir())[:2]
    told = run(ROOT / "tuning" / "predict.py", "runs/jax", *pictures)
    assert told.returncode == 0, told.stderr
    assert [row["file"] for row in csv.DictReader(io.StringIO(told.stdout))] == [
        *map(str, pictures)
    ]
    # What needs TensorFlow says so.
    refused = run("-m", "tuning.export", "runs/jax", "--to", "tflite")
    assert refused.returncode == 2
    assert "pip install tensorflow" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
