"""What the README has people type."""

import re

import pytest
from test_api import ROOT, python

pytestmark = pytest.mark.slow


def test_the_readme_s_example_runs(tmp_path, shared_cache):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"<!-- example: python -->\s*```python\n(.*?)```", text, re.S)
    assert example
    done = python(tmp_path, example[1], shared_cache)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
