"""The command line: quick to answer, one clear line for every mistake, nothing left behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuning import search
from tuning.errors import UserError
from tuning.options import parse

ROOT = Path(__file__).resolve().parent.parent


def test_help_imports_nothing_heavy():
    """It answers in under a second because nothing that takes seconds is imported."""
    code = (
        "import sys; from tuning.options import parse\n"
        "try: parse(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'keras', 'tensorflow', 'ray', 'optuna', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.endswith("[]\n"), done.stderr
    began = time.monotonic()
    script = str(ROOT / "tuning" / "search.py")
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert time.monotonic() - began < 10  # 0.3 s on an idle machine
    for option in ("--data", "--experiments", "--trials", "--weights", "--time-budget"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trials", "0"], "--trials: '0' is not a whole number of at least 1"),
        (["--trials", "many"], "'many' is not a whole number"),
        (["--epochs", "-3"], "--epochs: '-3' is not"),
        (["--tirals", "3"], "unrecognized arguments: --tirals 3"),
        (["--trial", "3"], "unrecognized arguments: --trial 3"),
        (["--experiments", "vgg"], "invalid choice: 'vgg'"),
        (["--image-size", "16"], "'16' is not a whole number of at least 32"),
        (["--time-budget", "30"], "'30' is not a time such as 45s, 30m or 2h"),
        (["--time-budget", "0s"], "'0s' is not a time"),
        (["--validation-share", "1"], "'1' is not a share"),
        (["--validation-share", "0.6", "--test-share", "0.5"], "leave nothing to train on"),
        (["--gpus-per-trial", "1.5"], "'1.5' is not a share of 1, or a whole number"),
        (["--gpus-per-trial", "nan"], "'nan' is not a share of 1, or a whole number"),
        (["--per-class", "10"], "--per-class takes two or three numbers"),
        (["--preprocessing", "none"], "invalid choice: 'none'"),
        (["--feature-dtype", "int8"], "invalid choice: 'int8'"),
        (["--name", "../out"], "--name '../out' must be a plain folder name"),
        (["--name", ".."], "must be a plain folder name"),
        (["--data"], "--data: expected one argument"),
        (["stray"], "unrecognized arguments: stray"),
    ],
)
def test_a_wrong_option_is_one_clear_line(arguments, told, capsys):
    with pytest.raises(UserError):
        parse(arguments)
    assert search.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert told in err


def test_an_existing_run_is_never_overwritten(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert search.main(["--runs", str(tmp_path), "--name", "mine"]) == 2
    assert "is there already; choose another --name" in capsys.readouterr().err


def test_mistakes_in_data_leave_no_run_folder(tmp_path, capsys):
    missing = str(tmp_path / "nowhere")
    runs = tmp_path / "runs"
    assert search.main(["--data", missing, "--runs", str(runs), "--cache", str(tmp_path)]) == 2
    _, err = capsys.readouterr()
    assert err == f"error: No such data folder: {missing}.\n"
    assert not runs.exists()


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("nowhere.npz", "No such weights file"),
        (__file__, "must end in one of .h5, .npz"),
    ],
)
def test_mistakes_in_weights_are_one_line(photos, tmp_path, weights, told):
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "tuning" / "search.py"), "--data", str(photos)),
            *("--per-class", "2", "1", "--image-size", "32", "--weights", weights),
            *("--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    assert not (tmp_path / "runs").exists()


def test_defaults_of_demo_and_data(photos):
    demo, own = parse([]), parse(["--data", str(photos)])
    assert (demo.image_size, demo.trials, demo.epochs) == (64, 8, 8)
    assert (own.image_size, own.trials, own.epochs) == (150, 30, 50)
    assert parse(["--experiments"]).experiments == ("convnet", "bottleneck", "fine_tune")
    assert parse(["--experiments", "fine_tune", "convnet"]).experiments == ("convnet", "fine_tune")
    assert parse(["--time-budget", "1.5h"]).time_budget == 5400


def test_settings_are_written_down(tmp_path):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    options = parse(["--runs", str(tmp_path), "--name", "r", "--per-class", "10", "5"])
    told = tomllib.loads((options.create_folder() / "settings.toml").read_text())
    assert told["per_class"] == [10, 5]
    assert told["trials"] == 8
    assert "time_budget" not in told
