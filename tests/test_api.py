"""The product from Python, in fresh interpreters as a user has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuning import Options, UserError, extend, load, resume, tune

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent

MODULE = """
import keras, keras_tuner

class Tiny(keras_tuner.HyperModel):
    def build(self, hp):
        width = hp.Int("width", 1, 4)
        model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D(),
                                  keras.layers.Dense(width), keras.layers.Dense(1, "sigmoid")])
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
        return model
"""

# Twice in one process: interrupted by Ctrl-C beside a Ray of the user's own, then, that ended,
# resumed in a thread.
SCRIPT = """
import json, logging, os, signal, sys, threading, time, warnings
from pathlib import Path
import optuna
import ray
from mine import Tiny
from tuning import Options, UserError, resume, tune

def state():
    loggers = [logging.getLogger(each) for each in (None, "ray", "optuna", "tensorflow", "tuning")]
    return {
        "signals": [str(signal.getsignal(each))
                    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
        "filters": [str(each) for each in warnings.filters],
        "logging": [[each.level, each.disabled, [str(h) for h in each.handlers]]
                    for each in loggers],
        "environment": dict(os.environ),
        "descriptors": [os.readlink(f"/proc/self/fd/{each}") for each in (0, 1, 2)],
        "hook": str(sys.excepthook),
        "path": sys.path[:],
    }

def interrupt():
    trials = Path("runs/first/trials.jsonl")
    while not trials.exists() or '"epoch"' not in trials.read_text():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

print("The user's own imports are over.", file=sys.stderr, flush=True)
optuna.logging.set_verbosity(optuna.logging.ERROR)
ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False,
         logging_level="error")
found = {"states": [state()]}
threading.Thread(target=interrupt, daemon=True).start()
try:
    tune(Options(hypermodel=Tiny(), name="first", image_size=32, trials=50, epochs=1,
                 cpus_per_trial=os.cpu_count()))
except KeyboardInterrupt:
    found["interrupted"] = json.loads(Path("runs/first/report.json").read_text())
found["states"].append(state())
found["stays"] = ray.is_initialized()
ray.shutdown()
found["states"].append(state())

def go_on():
    trials = sum(t["status"] != "interrupted" for t in found["interrupted"]["trials"]) + 1
    try:
        resume("runs/first", trials=trials)
    except UserError as error:
        found["refused"] = str(error)
    result = resume("runs/first", hypermodel=Tiny(), trials=trials, progress=False)
    found["facts"], found["folder"] = result.facts, str(result.folder)
    found["model"] = list(result.model.output_shape), result.model is result.model
    found["planned"] = trials

print("The second begins.", flush=True)
thread = threading.Thread(target=go_on)
thread.start()
thread.join()
print("The second is over.")
found["states"].append(state())
found["ray"] = ray.is_initialized()
Path("found.json").write_text(json.dumps(found))
"""


def python(folder: Path, script: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """What a fresh interpreter makes of a script."""
    (folder / "script.py").write_text(script)
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory, shared_cache) -> Path:
    """The folder of a process that ran the script above; what it found, and printed, beside it."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "mine.py").write_text(MODULE)
    done = python(folder, SCRIPT, shared_cache)
    assert done.returncode == 0, done.stderr
    (folder / "printed").write_text(done.stdout)
    (folder / "errors").write_text(done.stderr)
    return folder


@pytest.fixture
def found(session: Path) -> dict:
    return json.loads((session / "found.json").read_text())


def test_ctrl_c_writes_the_report_and_is_raised(found):
    assert "interrupted by the user" in json.dumps(found["interrupted"])


def test_what_a_run_changes_in_its_process_is_put_back(found):
    before, beside, alone, after = found["states"]
    assert beside == before
    assert after == alone
    assert found["stays"]
    assert not found["ray"]


def test_progress_is_shown_or_nothing(session):
    printed = (session / "printed").read_text()
    first, second = printed.split("The second begins.\n")
    assert "trial 0 starts: width" in first
    assert "Configuration for experiment" not in first  # Ray Tune's own words
    assert second == "The second is over.\n"
    assert (session / "errors").read_text().endswith("imports are over.\n")


def test_a_hypermodel_object_is_asked_for_again(session, found):
    assert 'hypermodel = "object mine.Tiny"' in (session / "runs/first/settings.toml").read_text()
    assert "mine.Tiny was given as a Python object" in found["refused"]
    over = [each for each in found["facts"]["trials"] if each["status"] != "interrupted"]
    assert len(over) == found["planned"]


def test_the_result_has_folder_facts_and_model(session, found):
    assert Path(found["folder"]) == (session / "runs" / "first").resolve()
    assert found["facts"] == json.loads((session / "runs/first/report.json").read_text())
    assert found["model"] == [[None, 1], True]
    assert found["facts"]["run"]["command"].startswith("tune(Options(")


def test_an_earlier_run_is_loaded(session, found):
    result = load(session / "runs" / "first")
    assert result.facts == found["facts"]
    assert "best: trial" in str(result)
    with pytest.raises(UserError, match="not a run folder"):
        load(session / "runs" / "second")


def test_a_mistake_is_a_user_error(session):
    with pytest.raises(UserError, match="--trials"):
        Options(trials=0)
    with pytest.raises(UserError, match=r"as tune\(Options\(data='photos'\)\)"):
        tune("photos")
    with pytest.raises(UserError, match="no run"):
        resume(session / "runs" / "second")
    for go_on in (resume, extend):
        with pytest.raises(TypeError, match="nonsense"):
            go_on(session / "runs" / "first", nonsense=1)
    with pytest.raises(UserError, match=r"not the HyperModel other:Net"):
        resume(session / "runs" / "first", hypermodel="other:Net")


def test_importing_the_face_is_quick_work():
    line = (
        "import sys, tuning; dir(tuning); print([n for n in sys.modules if n in ('ray', 'keras')])"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
