"""100,000 pictures in 1,000 classes: memory of the search's own process, and the first trial."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CLASSES, EACH = 1000, 100
MEMORY = 2000  # MB


@pytest.mark.soak
def test_a_hundred_thousand_pictures_in_a_thousand_classes(tmp_path):
    for label in range(CLASSES):
        random = np.random.default_rng(label)
        common = np.kron(random.integers(40, 216, (4, 4, 3)), np.ones((8, 8, 1)))
        (tmp_path / "many" / f"{label:04}").mkdir(parents=True)
        for number in range(EACH):
            pixels = np.clip(common + random.normal(0, 40, (32, 32, 3)), 0, 255)
            file = tmp_path / "many" / f"{label:04}" / f"{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file, compress_level=1)
    words = ["--data", tmp_path / "many", "--image-size", 32, "--cache", tmp_path / "cache"]
    words += ["--runs", tmp_path / "runs", "--name", "many", "--weights", "random", "--holdout", 0]
    words += ["--set", "network=convnet", "--no-experiments", "--trials", 1, "--epochs", 1]
    began, first, most = time.monotonic(), None, 0
    events = tmp_path / "runs" / "many" / "trials.jsonl"
    process = subprocess.Popen([sys.executable, ROOT / "tuning" / "search.py", *map(str, words)])
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if found := re.search(r"VmHWM:\s+(\d+)", status):
            most = max(most, int(found[1]) // 1024)
        if first is None and events.exists() and '"start"' in events.read_text():
            first = time.monotonic() - began
        time.sleep(0.5)
    print(f"first trial after {first:.0f} s, {most} MB at most")
    assert process.returncode == 0
    assert most < MEMORY
