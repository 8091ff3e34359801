"""The quickstart notebook runs from top to bottom, and shows progress and report."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "quickstart.ipynb"


@pytest.mark.slow
def test_it_runs_and_shows_progress_and_report(tmp_path, shared_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # as it is kept
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    outputs = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    shown = "".join(str(each) for each in outputs["result = tune(options)"])
    assert "trial 0 starts: small convnet" in shown
    (report,) = (each.data["text/html"] for each in outputs["result"])
    assert report.startswith("<iframe")
    assert "Best-trial report" in report
    (same,) = outputs['load("runs/notebook").facts == result.facts']
    assert same.data["text/plain"] == "True"
