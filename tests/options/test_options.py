"""The command line: quick to answer, one clear line for every mistake, nothing left behind."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from search_spaces import levers
from search_spaces.constraints import parse_constraints
from tuning import search
from tuning.errors import UserError
from tuning.options import Options, settings
from tuning.run.request import read_options, typed
from tuning.scheduling.space import build_space


def parse(arguments: list[str]) -> Options:
    return read_options(arguments)[0]


ROOT = Path(__file__).resolve().parents[2]


def test_help_imports_nothing_heavy():
    """It answers in under a second because nothing that takes seconds is imported."""
    code = (
        "import sys; from tuning.options.command_line import parse\n"
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
        (["--tirals", "3"], "unrecognized arguments: --tirals 3; did you mean --trials?"),
        (["--trial=3"], "unrecognized arguments: --trial=3; did you mean --trials?"),
        (["--sedd", "1", "--x"], "--sedd 1 --x; did you mean --seed?"),
        (["--unheard-of", "3"], "unrecognized arguments: --unheard-of 3 (see"),
        (["--experiments", "vgg"], "invalid choice: 'vgg'"),
        (["--image-size", "16"], "'16' is not a whole number of at least 32"),
        (["--time-budget", "30"], "'30' is not a time such as 45s, 30m or 2h"),
        (["--time-budget", "0s"], "'0s' is not a time"),
        (["--validation-share", "1"], "'1' is not a share"),
        (["--validation-share", "0.6", "--holdout", "0.5"], "leave nothing to train on"),
        (["--gpus-per-trial", "1.5"], "'1.5' is not a share of 1, or a whole number"),
        (["--gpus-per-trial", "nan"], "'nan' is not a share of 1, or a whole number"),
        (["--per-class", "10"], "--per-class takes two or three numbers"),
        (["--preprocessing", "none"], "invalid choice: 'none'"),
        (["--feature-dtype", "int8"], "invalid choice: 'int8'"),
        (["--name", "../out"], "--name: '../out' must be a plain folder name"),
        (["--name", ".."], "must be a plain folder name"),
        (["--data"], "--data: expected one argument"),
        (["stray"], "unrecognized arguments: stray"),
        (["--confirm", "3"], "'3' is not of the form 3x5"),
        (["--confirm", "3x1"], "'3x1' is not of the form 3x5"),
        (["--price", "0"], "'0' is not a number above 0"),
        (["--sampler", "bayes"], "invalid choice: 'bayes'"),
        (["--objective", "accuracy", "loss", "--scheduler", "asha"], "goes by one objective"),
        (["--experiments", "--trials", "3"], "--trials has no meaning beside --experiments"),
        (["--experiments", "--set", "dropout=0.5"], "--set has no meaning beside --experiments"),
        (["--experiments", "--sampler", "random"], "--sampler has no meaning beside"),
        (["--hypermodel", "a:B", "--space", "full"], "--space has no meaning beside --hypermodel"),
        (["--address", "auto", "--dashboard"], "--dashboard has no meaning beside --address"),
        (["--resume", "nothing"], "There is no run runs/nothing to resume"),
        (["--config", "nothing.toml"], "cannot be read: No such file or directory"),
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
    (tmp_path / "mine" / "somebody's").touch()
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
    assert (own.image_size, own.trials, own.epochs) == (150, None, 50)
    assert own.ends_by_itself
    assert not demo.ends_by_itself
    assert parse(["--experiments"]).experiments == ("convnet", "bottleneck", "fine_tune")
    assert parse(["--experiments", "fine_tune", "convnet"]).experiments == ("convnet", "fine_tune")
    assert parse(["--time-budget", "1.5h"]).time_budget == 5400


def test_settings_are_written_down(tmp_path):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    options = parse(["--runs", str(tmp_path), "--name", "r", "--per-class", "10", "5"])
    told = tomllib.loads(write(options).read_text())
    assert told["per_class"] == [10, 5]
    assert told["trials"] == 8
    assert "time_budget" not in told


def write(options: Options) -> Path:
    """Settings in a run folder, as a run that has begun has them."""
    options.folder.mkdir(parents=True)
    file = options.folder / "settings.toml"
    settings.write(file, options)
    return file


FLAGS = {
    "--set": ["dropout=0.5", "unfrozen=0:4"],
    "--confirm": ["3x5"],
    "--time-budget": ["90m"],
    "--cache-limit": ["20GB"],
    "--objective": ["accuracy", "parameters"],
    "--verify-cache": [],
    "--per-class": ["10", "5"],
    "--price": ["1.2"],
    "--seed": ["3"],
}


def test_settings_give_the_same_run_again(tmp_path):
    given = [word for flag, values in FLAGS.items() for word in (flag, *values)]
    options = parse([*given, "--runs", str(tmp_path), "--name", "r"])
    file = write(options)
    again = parse(["--config", str(file), "--name", "other"])
    assert dataclasses.replace(again, name="r") == options
    more = parse(["--resume", "r", "--runs", str(tmp_path), "--trials", "99"])
    assert dataclasses.replace(more, trials=options.trials) == options
    assert more.trials == 99


def test_flags_go_before_a_settings_file(tmp_path):
    file = tmp_path / "search.toml"
    file.write_text(
        'trials = 7\nviews = 3\n[set]\ndropout = 0.5\naugmentation = ["none", "flip"]\n'
    )
    options = parse(["--config", str(file), "--trials", "9"])
    assert (options.trials, options.views) == (9, 3)
    assert options.set == ("dropout=0.5", "augmentation=none,flip")


def test_the_command_line_and_a_table_say_the_same():
    table = {
        "dropout": 0.5,
        "unfrozen": "0:4",
        "augmentation": ["none", "flip"],
        "on": True,
        "network": "vgg16",
        "head_epochs": [2, 20],
    }
    texts = ["dropout=0.5", "unfrozen=0:4", "augmentation=none,flip", "on=true"]
    texts += ["network=vgg16", "head_epochs=2,20"]
    assert parse_constraints(Options(set=table).set) == parse_constraints(texts)


def test_values_and_the_text_of_values_are_the_same_options():
    texts = {"time_budget": "90m", "cache_limit": "20GB", "per_class": ["3", "2"], "folds": "5"}
    values = {"time_budget": 5400, "cache_limit": 20 * 10**9, "per_class": (3, 2), "folds": 5}
    assert Options(**texts, name="r") == Options(**values, name="r")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trails = 7", "there is no option trails; did you mean trials?"),
        ("trials = ", "are no TOML"),
        ("trials = 0", "--trials: '0' is not a whole number of at least 1"),
    ],
)
def test_a_wrong_settings_file_is_one_clear_line(tmp_path, text, told, capsys):
    file = tmp_path / "search.toml"
    file.write_text(text)
    assert search.main(["--config", str(file)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert told in err


def test_a_mistake_in_a_settings_file_names_its_line(tmp_path):
    file = tmp_path / "search.toml"
    for text, line in (
        ("# mine\ntrials = 0\n", 2),
        ("\n\ntrails = 7\n", 3),
        ("trials = 3\nvalidation-share = 2\n", 2),
        ("trials = 3\n[set]\ndropout = 0.5\n[trials]\n", 4),
    ):
        file.write_text(text)
        with pytest.raises(UserError) as error:
            parse(["--config", str(file)])
        assert f"line {line}" in str(error.value)


def test_passwords_are_not_written_down(tmp_path, monkeypatch):
    url = "postgresql://me:s3cret@host/db"
    options = parse(["--storage", url, "--runs", str(tmp_path), "--name", "r"])
    text = write(options).read_text()
    assert "s3cret" not in text
    assert "s3cret" not in typed(["--storage", url])
    monkeypatch.setattr("sys.argv", ["/usr/bin/little-data-tuner", "--trials", "3"])
    assert typed(["--trials", "3"]) == "little-data-tuner --trials 3"
    assert "s3cret" not in typed([f"--storage={url}"])
    resumed = parse(["--resume", "r", "--runs", str(tmp_path), "--storage", url])
    assert resumed.storage == url


def test_only_what_a_resumed_run_may_be_given(tmp_path):
    write(parse(["--runs", str(tmp_path), "--name", "r"]))
    resumed = ["--resume", "r", "--runs", str(tmp_path)]
    for fixed, value in (("--views", "3"), ("--name", "other")):
        with pytest.raises(UserError, match=f"{fixed} cannot be changed by --resume"):
            parse([*resumed, fixed, value])
    with pytest.raises(UserError, match="--config is for new runs"):
        parse([*resumed, "--config", str(tmp_path / "nowhere.toml")])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "dropuot=0.5"], "there is no hyperparameter dropuot; did you mean dropout?"),
        (["--set", "dropout=0.9"], "dropout is a number from 0 to 0.8"),
        (["--set", "dropout"], "not of the form NAME=VALUE"),
        (["--sampler", "grid"], "give them few values: --set head_rate=1e-4,1e-3"),
    ],
)
def test_a_wrong_space_is_refused(arguments, told):
    data = SimpleNamespace(train=SimpleNamespace(labels=np.array([0, 1])))
    with pytest.raises(UserError) as error:
        build_space(parse(arguments), data, levers.ARTICLES, random=True)
    assert told in str(error.value)


def test_a_wrong_space_is_one_line_before_anything_is_done(photos, tmp_path, capsys):
    place = ["--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    small = ["--data", str(photos), "--per-class", "2", "2", "--image-size", "32"]
    given = [*place, *small, "--weights", "random"]
    assert search.main(["--set", "dropuot=0.5", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean dropout?" in line
    assert not (tmp_path / "runs").exists()
