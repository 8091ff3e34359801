"""Every option with every kind of value, and every pair of them: taken, or refused in one line."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields
from pathlib import Path

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


def value_of(name: str) -> object:
    if is_switch(FIELDS[name]):
        return True
    return USUAL.get(name, "4" if name != "image_size" else "64")


def one_line(error: UserError) -> bool:
    return len(str(error).splitlines()) == 1 and len(str(error)) < 1500


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_is_taken_or_refused_in_one_line(name):
    option, taken = FIELDS[name], []
    for value in (
        *VALUES,
        True,
        -1,
        0,
        1.5,
        math.nan,
        math.inf,
        10**30,
        (),
        [],
        {},
        b"x",
        object(),
    ):
        if option.kind.objects and not isinstance(value, str):
            continue  # anything may be a HyperModel
        try:
            taken.append(getattr(Options(**{name: value}), name))
        except UserError as error:
            assert one_line(error), (value, error)
            assert str(error).startswith("--")
    for value in taken:
        again = Options(**{name: value})
        assert getattr(again, name) == value  # what was understood is understood again
        numbers = value if isinstance(value, tuple) else (value,)
        assert all(math.isfinite(each) for each in numbers if isinstance(each, float))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=30))
def test_any_text_is_taken_or_refused_in_one_line(name, text):
    try:
        Options(**{name: text})
    except UserError as error:
        assert one_line(error), error


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*map(flag, FIELDS), *VALUES]), max_size=6))
def test_any_command_line_is_taken_or_refused_in_one_line(arguments):
    try:
        given = command_line.parse(arguments)
        given.pop("config", None)
        given.pop("resume", None)
        Options(**given)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    except SystemExit as error:
        assert error.code == 0  # --help


@pytest.mark.parametrize(
    ("one", "other"), itertools.combinations(sorted(set(FIELDS) - {"data"}), 2)
)
def test_a_pair_is_taken_or_refused_in_one_line(one, other):
    """What one excludes is refused beside it, whichever comes first, and nothing is overlooked."""
    excluded = other in FIELDS[one].excludes or one in FIELDS[other].excludes
    try:
        options = Options(data="photos", **{one: value_of(one), other: value_of(other)})
    except UserError as error:
        assert one_line(error)
        assert flag(one) in str(error) or flag(other) in str(error)
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("data", "cache", "runs")])
def test_what_is_taken_can_be_worked_with(name, place, monkeypatch):
    """What `Options` takes comes through all that is looked at before a run begins."""
    monkeypatch.chdir(place)
    small = {
        "image_size": 32,
        "hypermodel": None if name == "backbone" else "models_of_tests:build",
        "name": "new",
    }
    (place / "models_of_tests.py").write_text(BUILD)
    if name in ("weights", "store_from", "space", "max_unfrozen", "preprocessing", "experiments"):
        small |= {"hypermodel": None, "weights": "random"}
    for value in VALUES:
        if is_switch(FIELDS[name]) and value not in ("true", "false"):
            continue
        asked = {**small, name: value}
        try:
            options = Options(
                data="photos", cache="cache", runs="runs", **{k: v for k, v in asked.items() if v}
            )
        except UserError:
            continue
        try:
            with put_back():
                prepare(options)
        except UserError as error:
            assert one_line(error), (value, error)


BUILD = """
import keras

def build(hp):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")])
    model.compile(loss="binary_crossentropy")
    return model
"""
