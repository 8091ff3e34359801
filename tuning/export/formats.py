"""Formats in which the best model can be taken to where there is no Keras.

Keras writes them; each is run on sample pictures before it counts as written.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.data.parts import Rows
from tuning.errors import UserError
from tuning.files import atomic

TOLERANCE = 1e-4  # of a probability, between a format and the Keras model
TIMED = 20  # pictures
SAMPLES = 8  # pictures it is tried on
# Sides, in pixels, of sample pictures where any size will do.
SIZES = ((96, 96), (61, 240), (333, 200))

Runner = Callable[[np.ndarray], np.ndarray]
"""Runs pictures, uint8 (B, height, width, 3), to probabilities as the Keras model gives them."""


@dataclass(frozen=True)
class Format:
    """One of them.

    Attributes:
        title: The name as its makers write it.
        file: Its name in `best/`, a folder for some.
        keras: The name that `keras.Model.export` has for it; None where `integers` writes it.
        needs: Packages that write or check it.
        any_size: Whether pictures may have any size, else they must have the model's own.
        batch: Pictures at a time, None for any number.
        runner: The function that opens a file.
        loading: The code that loads it; `{size}` is the side of the model's pictures.
    """

    title: str
    file: str
    keras: str | None
    needs: tuple[str, ...]
    any_size: bool
    batch: int | None
    runner: Callable[[Path], Runner]
    loading: str


def _savedmodel(path: Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    # Only `loaded` keeps the weights alive.
    return lambda pictures: np.asarray(loaded.serve(pictures))


def _onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pictures: np.asarray(session.run(None, {name: pictures})[0])


def open_tflite(path: Path) -> Runner:
    """A LiteRT model; probabilities that it gives in whole numbers are turned into shares."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = target["quantization"]

    def one(picture: np.ndarray) -> Any:
        interpreter.set_tensor(source["index"], picture[None].astype(source["dtype"]))
        interpreter.invoke()
        said = interpreter.get_tensor(target["index"])[0]
        return (said.astype(np.float32) - zero) * scale if scale else said

    return lambda pictures: np.stack([one(picture) for picture in pictures])


# Antialiased resizing is an operation that neither ONNX Runtime nor LiteRT knows, so these two take
# pictures that have been resized. Delegates of LiteRT for GPUs and NPUs refuse an open batch.
FORMATS = {
    "savedmodel": Format(
        title="TensorFlow SavedModel",
        file="savedmodel",
        keras="tf_saved_model",
        needs=("tensorflow",),
        any_size=True,
        batch=None,
        runner=_savedmodel,
        loading="""
import tensorflow as tf

model = tf.saved_model.load("savedmodel")
probabilities = model.serve(pictures)  # uint8 (N, height, width, 3)
""",
    ),
    "onnx": Format(
        title="ONNX",
        file="model.onnx",
        keras="onnx",
        needs=("tensorflow", "onnxruntime", "tf2onnx"),
        any_size=False,
        batch=None,
        runner=_onnx,
        loading="""
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
name = session.get_inputs()[0].name
(probabilities,) = session.run(None, {{name: pictures}})  # uint8 (N, {size}, {size}, 3)
""",
    ),
    "tflite": Format(
        title="LiteRT (TensorFlow Lite)",
        file="model.tflite",
        keras="litert",
        needs=("tensorflow",),
        any_size=False,
        batch=1,
        runner=open_tflite,
        loading="""
import tensorflow as tf  # or: from ai_edge_litert.interpreter import Interpreter

interpreter = tf.lite.Interpreter(model_path="model.tflite")
interpreter.allocate_tensors()
source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.set_tensor(source["index"], picture)  # uint8 (1, {size}, {size}, 3)
interpreter.invoke()
probabilities = interpreter.get_tensor(target["index"])
""",
    ),
    "tflite-int8": Format(
        title="LiteRT in whole numbers of 8 bits",
        file="model-int8.tflite",
        keras=None,
        needs=("tensorflow",),
        any_size=False,
        batch=1,
        runner=open_tflite,
        loading="""
import numpy as np
import tensorflow as tf  # or: from ai_edge_litert.interpreter import Interpreter

interpreter = tf.lite.Interpreter(model_path="model-int8.tflite")
interpreter.allocate_tensors()
source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
picture = picture.astype(source["dtype"])  # uint8 (1, {size}, {size}, 3)
interpreter.set_tensor(source["index"], picture)
interpreter.invoke()
scale, zero = target["quantization"]
said = interpreter.get_tensor(target["index"])
probabilities = (said.astype(np.float32) - zero) * scale if scale else said
""",
    ),
}


def check_formats(formats: Sequence[str]) -> None:
    """Sees at once, without importing them, whether the packages are there that formats need.

    Raises:
        UserError: If a format is unknown, or a package is missing.
    """
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"The format {name!r} is unknown; there are {', '.join(FORMATS)}.")
        needs = FORMATS[name].needs
        missing = [package for package in needs if importlib.util.find_spec(package) is None]
        if missing:
            raise UserError(
                f"The format {name} needs packages that are not installed: "
                f"pip install {' '.join(missing)}, or leave {name} out."
            )


def written(folder: Path) -> list[str]:
    """Names of the formats that are in a `best` folder."""
    return [name for name, each in FORMATS.items() if (folder / each.file).exists()]


def remove(folder: Path) -> None:
    """Removes all formats from a `best` folder: they are of a model that is no longer there."""
    for each in FORMATS.values():
        _remove(folder / each.file)
        _remove((folder / each.file).with_suffix(".json"))


def export(run: Path, formats: Sequence[str]) -> None:
    """Writes formats of a run's best model, in a process of their own.

    TensorFlow's converters are native code that talks, keeps memory and may end the process; and
    they want Keras on TensorFlow, whatever the search ran on.

    Args:
        run: The run folder, with `best/model.keras` in it.
        formats: Names, which `check_formats` has seen.

    Raises:
        UserError: If one cannot be written; the others are.
    """
    # Ours are found before a package of the user's that is called as one of them.
    here = str(Path(__file__).resolve().parents[2])
    command = f"import sys; sys.path[0] = {here!r}; import tuning.export.model as m"
    done = subprocess.run(
        [sys.executable, "-c", f"{command}; sys.exit(m.main())", run.resolve(), "--to", *formats],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line]
        raise UserError(
            "; ".join(lines) or f"The export of {run} ended with code {done.returncode}."
        )


def convert(folder: Path, name: str, model: Any, image_size: int) -> Path:
    """Writes one format into a `best` folder, whole and checked or not at all.

    Args:
        folder: The folder to write into.
        name: The format's name.
        model: The Keras model, on the TensorFlow backend.
        image_size: Side in pixels of the pictures it was trained on.

    Returns:
        The file, or folder.

    Raises:
        UserError: If it cannot be written, or run, or says something else than the model.
    """
    import keras

    form = FORMATS[name]
    side = None if form.any_size else image_size
    exported = model if form.any_size else behind_resizing(model, image_size)
    signature = keras.InputSpec(dtype="uint8", shape=(form.batch, side, side, 3), name="pictures")
    draft = Path(tempfile.mkdtemp(prefix=".", dir=folder))
    try:
        path = draft / form.file
        try:
            exported.export(path, form.keras, verbose=False, input_signature=[signature])
            difference = _difference(form.runner(path), model, image_size, form.any_size)
        except Exception as error:
            # Three converters and three runtimes, each with errors of its own.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"The model cannot be taken to {name}: {reason}") from error
        if not difference <= TOLERANCE:
            raise UserError(
                f"The {name} model gives probabilities that are {difference:.1g} off those of the "
                f"Keras model, but must be within {TOLERANCE:g}; it was not kept."
            )
        target = folder / form.file
        atomic.sync(path)
        _remove(target)
        os.replace(path, target)
        return target
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def behind_resizing(model: Any, image_size: int) -> Any:
    """The model without its first steps, for pictures that have its size and whole numbers."""
    import keras

    shape = (None, image_size, image_size, 3)
    _, rounded, *_ = [each.output for each in model.operations if each.output.shape == shape]
    return keras.Model(rounded, model.output)


def _difference(run: Runner, model: Any, image_size: int, any_size: bool) -> float:
    """The largest difference between two probabilities of the same drawn picture."""
    from tuning.data.demo import draw

    generator = np.random.default_rng(0)
    drawn = [draw(bool(index % 2), generator) for index in range(SAMPLES)]
    worst = 0.0
    for size in SIZES if any_size else ((image_size, image_size),):
        pictures = np.stack([np.asarray(each.convert("RGB").resize(size)) for each in drawn])
        wanted = np.asarray(model.predict_on_batch(pictures))
        worst = max(worst, float(np.abs(run(pictures) - wanted).max()))
    return worst


def milliseconds(run: Callable[[np.ndarray], object], pictures: np.ndarray | Rows) -> float:
    """The median time of a picture, one at a time.

    Args:
        run: What takes pictures (1, S, S, 3).
        pictures: Some, uint8 (N, S, S, 3).
    """
    run(np.asarray(pictures[:1]))  # which may compile
    seconds = []
    for picture in pictures[:TIMED]:
        began = time.perf_counter()
        run(np.asarray(picture)[None])
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
