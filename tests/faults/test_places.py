"""Files, folders and places that are not what a command was told: one line, whatever they are.

The kinds are generated: each place that a command reads or writes is put in front of each kind of
thing that may lie there. No traceback, no hang, exit code 2, and nothing of a run left behind.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from exported import run_folder
from PIL import Image

HERE = Path(__file__).parent
LONG = "n" * 300
# What lies in a place: a path in the folder of `world`, or a word that is none.
THINGS = {
    "missing": "nowhere/at/all",
    "text": "text.txt",
    "below a file": "text.txt/below",
    "empty file": "empty",
    "bytes": "bytes.bin",
    "empty folder": "void",
    "folder": "photos",
    "closed folder": "closed",
    "closed file": "closed.txt",
    "dangling link": "dangling",
    "loop": "loop",
    "device": "/dev/null",
    "full device": "/dev/full",
    "kernel's": "/proc/self/nothing",
    "too long": LONG,
    "empty": "",
    "other scheme": "ftp://somewhere/else",
    "new database": "sqlite:///new.db",
    "no database": "sqlite:///text.txt",
    "folder as database": "sqlite:///photos",
    "unknown database": "oracle9://nobody",
    "no server": "postgresql://127.0.0.1:9/none",
}
SEARCH = ["--data", "photos", "--image-size", "32", "--holdout", "0", "--cache", "cache"]
SEARCH += ["--runs", "runs", "--trials", "1", "--epochs", "1", "--backbone", "net:small"]
# Each option with a file or folder, and the things that are right there.
OPTIONS = {
    "--data": {"folder"},
    "--labels": set(),
    "--enqueue": set(),
    "--config": {"empty file"},  # which asks for nothing
    "--warm-start": set(),
    "--weights": set(),
    "--hypermodel": set(),
    "--backbone": set(),
    "--extend": set(),
    "--resume": set(),
}
# Those that are written to, and the things in which that can be done.
WRITTEN = {
    "--cache": {"missing", "folder", "empty folder"},
    "--runs": {"missing", "folder", "empty folder", "dangling link"},
    "--storage": {"empty file", "dangling link", "new database"},
}
OTHERS = {
    "tuning.predict": [["{}", "photos"], ["run", "{}"]],
    "tuning.report.__main__": [["{}"]],
    "tuning.export.model": [["{}", "--to", "savedmodel"]],
    "tuning.features.__main__": [["--cache", "{}", "list"], ["--cache", "{}", "verify"]],
    "tuning.serve.__main__": [["{}"], ["run", "--host", "0.0.0.0", "--token", "{}"]],
}
NET = """
import keras, sys

def small():
    x = inputs = keras.Input((None, None, 3))
    zeros = keras.initializers.RandomUniform(seed=1)
    x = keras.layers.Conv2D(4, 3, strides=4, kernel_initializer=zeros)(x)
    return keras.Model(inputs, x)

def leaves():
    sys.exit(3)

def raises():
    raise RuntimeError("two\\nlines")

def none():
    return None

def hidden():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=4)(inputs)
    return keras.Model(inputs, keras.layers.Lambda(lambda x: 2 * x)(x))

number = 3
"""
MODELS = """
import keras, keras_tuner, sys

class Own(keras.layers.Layer):
    def call(self, inputs):
        return inputs

def own_activation(x):
    return x

class Base(keras_tuner.HyperModel):
    def layer(self):
        return keras.layers.Rescaling(1.0)

    def build(self, hp):
        layers = [keras.Input((32, 32, 3)), self.layer(), keras.layers.Flatten()]
        model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
        model.compile(loss="binary_crossentropy")
        return model

class Lambda(Base):
    def layer(self):
        return keras.layers.Lambda(lambda x: 2 * x)

class OwnLayer(Base):
    def layer(self):
        return Own()

class OwnFunction(Base):
    def layer(self):
        return keras.layers.Activation(own_activation)

class Leaves(Base):
    def layer(self):
        sys.exit(3)

class Subclassed(Base):
    def build(self, hp):
        class Model(keras.Model):
            def call(self, inputs):
                return keras.ops.mean(inputs, axis=(1, 2, 3))[:, None]
        model = Model()
        model.compile(loss="binary_crossentropy")
        return model
"""


@pytest.fixture(scope="module")
def world(photos, tmp_path_factory) -> Iterator[Path]:
    """A folder with one of each kind of thing."""
    folder = tmp_path_factory.mktemp("world")
    random = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 180)):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(random.normal(brightness, 40, (40, 40, 3)), 0, 255)
            file = folder / "photos" / name / f"{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    (folder / "text.txt").write_text("I am none.\n")
    (folder / "empty").touch()
    (folder / "bytes.bin").write_bytes(random.bytes(3000))
    (folder / "void").mkdir()
    (folder / "closed").mkdir()
    (folder / "closed.txt").write_text("nobody reads this")
    for name in ("closed", "closed.txt"):
        (folder / name).chmod(0)
    (folder / "dangling").symlink_to("nothing")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    (folder / "net.py").write_text(NET)
    (folder / "models_of_mine.py").write_text(MODELS)
    (folder / "leaves.py").write_text("import sys; sys.exit(0)")
    run_folder(folder / "made", photos)
    shutil.move(folder / "made" / "run", folder / "run")
    yield folder
    (folder / "closed").chmod(0o700)


def cases() -> Iterator[tuple[str, list[str], bool]]:
    """A module, its arguments, and whether it may succeed."""
    places = {**OPTIONS, **WRITTEN}
    for (option, right), (thing, place) in itertools.product(places.items(), THINGS.items()):
        rest = ["--resume", place] if option == "--resume" else [*SEARCH, option, place]
        if option in ("--hypermodel", "--backbone"):  # there is one network
            rest = [each for each in rest if each not in ("--backbone", "net:small")]
        if thing not in right:
            yield "tuning.search", rest, False
    for module, lists in OTHERS.items():
        for arguments, place in itertools.product(lists, THINGS.values()):
            yield module, [each.format(place) for each in arguments], module == "tuning.predict"
    spoiled = ("leaves:x", "net:leaves", "net:raises", "net:none", "net:number", "net:hidden")
    for name in (*spoiled, "net:nothing", "net", ":small", "net:", "os:path", "vgg61", "pipe"):
        yield "tuning.search", [*SEARCH[:-2], "--backbone", name], False
    classes = ("Lambda", "OwnLayer", "OwnFunction", "Leaves", "Subclassed", "Nothing", "Own")
    for name in (*(f"models_of_mine:{each}" for each in classes), "leaves:x", "os:path"):
        yield "tuning.search", [*SEARCH[:-2], "--hypermodel", name], False
    for name in ("pipe", "photos", "run/best"):
        yield "tuning.predict", ["run", name], True


def run(world: Path, commands: list[tuple[str, list[str]]], tmp_path: Path) -> list[list]:
    """Runs commands in a process of their own, which may not read what is closed."""
    given, results = tmp_path / "cases.json", tmp_path / "results.json"
    given.write_text(json.dumps([[str(world), *each] for each in commands]))
    program = [sys.executable, str(HERE / "commands.py"), str(given), str(results)]
    if os.geteuid() == 0:  # who may read everything
        if not (setpriv := shutil.which("setpriv")):
            pytest.skip("root may read everything")
        program = [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *program]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "home"), "KERAS_BACKEND": ""}
    environment.pop("KERAS_BACKEND")
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    found = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(found) == len(commands), f"{commands[len(found)]}: {done.stderr[-3000:]}"
    return found


def faults(
    commands: list[tuple[str, list[str], bool]], results: list[list], most: float = 60.0
) -> list[str]:
    """What is wrong with how commands ended."""
    found = []
    for (module, arguments, may), (code, out, err, seconds) in zip(commands, results, strict=True):
        lines = err.splitlines()
        told = [line for line in lines if line.startswith("error: ")]
        what = f"{module} {' '.join(arguments)[-150:]}: {code}, {seconds:.0f} s"
        if code in (-1, -2, 70) or "Traceback" in err + out:
            found.append(f"{what}: {' | '.join(lines[-3:])}")
        elif not may and (code != 2 or len(told) != 1):
            found.append(f"{what}: not refused in one line: {err[-300:]!r}")
        elif may and code not in (0, 1, 2):
            found.append(what)
        elif any(len(line) > 1200 for line in lines):
            found.append(f"{what}: a line of {max(map(len, lines))} characters")
    return found


@pytest.mark.slow
def test_no_thing_in_any_place_ends_in_a_traceback(world, tmp_path):
    every = list(cases())
    results = run(world, [each[:2] for each in every], tmp_path)
    wrong = faults(every, results)
    assert not wrong, f"{len(wrong)} of {len(every)}:\n" + "\n".join(wrong)
    told = {tuple(a[-2:]): err for (_, a, _), (_, _, err, _) in zip(every, results, strict=True)}
    assert "closed.txt: it cannot be read: no permission" in told["run", "closed.txt"]
    assert "no file can hold Lambda" in told["--hypermodel", "models_of_mine:Lambda"]
    assert "no file can hold Own " in told["--hypermodel", "models_of_mine:OwnLayer"]
    assert "no file can hold own_activation" in told["--hypermodel", "models_of_mine:OwnFunction"]
    assert "SystemExit: 3" in told["--backbone", "net:leaves"]
    assert "it is empty" in told["--data", ""]
    assert not (world / "runs").exists()
    assert not (world / "new.db").exists()
