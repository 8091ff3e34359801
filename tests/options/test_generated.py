"""Every option with every kind of value, and every pair of them: taken, or refused in one line."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tuning.errors import UserError
from tuning.options import Options, command_line
from tuning.options.option import about, flag, is_switch
from tuning.process.surroundings import put_back
from tuning.run.prepare import prepare

VALUES = ("x", "-1", "0", "1", "2", "0.5", "1.5", "", " ", "nan", "inf", "-inf", "1e400", "NaN")
VALUES += (
    "9" * 30,
    "9" * 5000,
    "-" + "9" * 30,
    "0x10",
    "1_000",
    "\N{FULLWIDTH DIGIT THREE}",
    "3x5",
)
VALUES += ("n" * 300, "a\nb", "a\0b", "\udcff", "~nobody/there", "true", "None", "[1]", "3s", "1GB")
VALUES += ("\N{CAT FACE}", "../up", "-", "--", "=", "a=b", "9" * 400 + "GB", "9" * 400 + "h", "1e3")
FIELDS = {each.name: about(each) for each in fields(Options)}
# Options that nothing reads before the first trial, or that have kinds of their own elsewhere.
UNREAD = {"data", "cache", "runs", "address", "dashboard", "price", "budget", "patience", "target"}
UNREAD |= {"time_budget", "cache_limit", "verify_cache", "no_experiments", "feature_dtype", "log"}
UNREAD |= {"export", "confirm", "resplit", "gpus_per_trial", "cpus_per_trial", "name"}
# What stands for each option in a pair.
USUAL = {
    "holdout": "0.1",
    "per_class": ["3", "2"],
    "labels": "list.csv",
    "groups": "patient",
    "keep_aspect": "pad",
    "weights": "random",
    "store_from": "block4_pool",
    "cache_limit": "1GB",
    "space": "full",
    "set": ["dropout=0.5"],
    "max_unfrozen": "1",
    "hypermodel": "somebody:Model",
    "experiments": ["convnet"],
    "sampler": "random",
    "scheduler": "median",
    "objective": ["loss"],
    "metric": "auc",
    "enqueue": "points.json",
    "warm_start": "earlier",
    "extend": "earlier",
    "time_budget": "10s",
    "target": "0.9",
    "price": "2",
    "budget": "3",
    "confirm": "2x3",
    "folds": "2",
    "export": ["onnx"],
    "storage": "journal.log",
    "log": ["mlflow"],
    "address": "auto",
    "gpus_per_trial": "0.5",
    "preprocessing": "imagenet",
    "backbone": ["mobilenetv2"],
}


def value_of(name: str) -> Any:
    if is_switch(FIELDS[name]):
        return True
    return USUAL.get(name, "4" if name != "image_size" else "64")


def asked(work: Callable[[], Any]) -> tuple[Any, str]:
    """What some work gives, and the one line in which it is refused."""
    try:
        return work(), ""
    except UserError as error:
        told = str(error)
    assert told
    assert len(told.splitlines()) == 1
    assert len(told) < 1500
    return None, told


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_is_taken_or_refused_in_one_line(name):
    found = []
    others = (True, -1, 0, 1.5, math.nan, math.inf, 10**30, (), [], {}, b"x", object())
    # Anything may be a HyperModel.
    for value in (*VALUES, *others) if not FIELDS[name].kind.objects else VALUES:
        options, told = asked(lambda value=value: Options(**{name: value}))
        assert not told or told.startswith("--")
        found += [] if told else [getattr(options, name)]
    for value in found:
        again = Options(**{name: value})
        assert getattr(again, name) == value  # what was understood is understood again
        numbers = value if isinstance(value, tuple) else (value,)
        assert all(math.isfinite(each) for each in numbers if isinstance(each, float))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=30))
def test_any_text_is_taken_or_refused_in_one_line(name, text):
    asked(lambda: Options(**{name: text}))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*map(flag, FIELDS), *VALUES]), max_size=6))
def test_any_command_line_is_taken_or_refused_in_one_line(arguments):
    def read() -> None:
        try:
            found = command_line.parse(arguments)
        except SystemExit:
            assert "--help" in arguments or "-h" in arguments
            return
        found.pop("config", None)
        found.pop("resume", None)
        Options(**found)

    asked(read)


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.combinations(sorted(set(FIELDS) - {"data"}), 2))
)
def test_a_pair_is_taken_or_refused_in_one_line(one, other):
    """What one excludes is refused beside it, whichever comes first, and nothing is overlooked."""
    excluded = other in FIELDS[one].excludes or one in FIELDS[other].excludes
    pair = {one: value_of(one), other: value_of(other)}
    options, told = asked(lambda: Options(data="photos", **pair))
    if told:
        assert flag(one) in told or flag(other) in told
        return
    assert not excluded
    usual = Options(data="photos")
    for name in (one, other):
        assert getattr(options, name) != getattr(usual, name)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    random = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 180)):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.clip(random.normal(brightness, 40, (32, 32, 3)), 0, 255)
            file = folder / "photos" / name / f"{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return folder


def work_with(name: str, values: list[str], place: Path) -> None:
    """What `Options` takes comes through all that is looked at before a run begins."""
    small = {"image_size": 32, "hypermodel": "models_of_tests:build", "name": "new"}
    (place / "models_of_tests.py").write_text(BUILD)
    if name in ("backbone", "weights", "store_from", "space", "max_unfrozen", "preprocessing"):
        small |= {"hypermodel": None, "weights": "random"}
    for value in values:
        given = {**small, "data": "photos", "cache": "cache", "runs": "runs", name: value}
        options, told = asked(lambda g=given: Options(**{key: v for key, v in g.items() if v}))
        if not told:
            with put_back():
                asked(lambda options=options: prepare(options))


def taken(name: str) -> list[str]:
    found = []
    for value in VALUES:
        with contextlib.suppress(UserError):
            Options(**{name: value})
            found.append(value)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FIELDS if name not in UNREAD])
def test_what_is_taken_can_be_worked_with(name, place, monkeypatch):
    monkeypatch.chdir(place)
    found = taken(name)
    work_with(name, sorted({*found[:1], *found[-2:]}), place)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("address", "dashboard")])
def test_all_that_is_taken_can_be_worked_with(name, place, monkeypatch):
    monkeypatch.chdir(place)
    work_with(name, taken(name), place)


BUILD = """
import keras

def build(hp):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")])
    model.compile(loss="binary_crossentropy")
    return model
"""
