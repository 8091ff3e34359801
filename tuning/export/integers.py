"""The best model in whole numbers of 8 bits, as phones and small devices compute quickest.

Quantisation after training as LiteRT does it (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018): training pictures say what
range each layer's output has.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.data.dataset import Dataset, Split
from tuning.data.parts import Part
from tuning.errors import UserError
from tuning.export.formats import FORMATS, Runner, behind_resizing, milliseconds, open_tflite
from tuning.files import atomic
from tuning.wording import percent

NAME = "tflite-int8"
FILE = FORMATS[NAME].file
FACTS = "model-int8.json"  # beside it
MOST_LOST = 0.01  # of the accuracy on validation pictures
CALIBRATING = 128  # training pictures
BATCH = 32  # pictures that the Keras model sees at a time


@dataclass(frozen=True)
class Measured:
    """What became of the model, beside what it was.

    Attributes:
        pictures: The number of validation pictures.
        accuracy: The share of them that it gets right.
        keras_accuracy: The share that the Keras model gets right.
        milliseconds: The time of a picture, on the machine that wrote it.
        keras_milliseconds: The Keras model's, likewise.
        in_floats: Names of layers that compute with floating point numbers still.
    """

    pictures: int
    accuracy: float
    keras_accuracy: float
    milliseconds: float
    keras_milliseconds: float
    in_floats: list[str]

    def in_words(self) -> str:
        """The same in a sentence or two."""
        said = (
            f"{percent(self.accuracy)} of {self.pictures:,} validation pictures right, the Keras "
            f"model {percent(self.keras_accuracy)}; {self.milliseconds:.1f} ms a picture, the "
            f"Keras model {self.keras_milliseconds:.1f} ms."
        )
        if not self.in_floats:
            return f"{said} All layers compute in whole numbers."
        return f"{said} These layers still compute in floating point: {', '.join(self.in_floats)}."


def read(folder: Path) -> Measured | None:
    """What is known of the model in a `best` folder; None where nothing is."""
    try:
        return Measured(**json.loads((folder / FACTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def convert(folder: Path, model: Any, data: Dataset) -> tuple[Path, Measured]:
    """Writes the model in whole numbers into a `best` folder, or nothing.

    Where that loses too much, layers are left in floating point, more each time, by turns the last
    ones, which are soon computed, and the first, whose rounding all that follow inherit.

    Args:
        folder: The folder to write into.
        model: The Keras model, on the TensorFlow backend.
        data: The pictures that it was trained on and validated by.

    Returns:
        The file, and what it is worth.

    Raises:
        UserError: If it cannot be written, or loses more than a point of accuracy all the same.
    """
    validation = data.validation
    keras_accuracy = _right(_keras(model), validation)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as drafts:
        draft = Path(drafts) / FILE
        try:
            attempts = _Quantiser(model, data, Path(drafts)).attempts()
            in_floats, accuracy = _first(attempts, draft, validation, keras_accuracy - MOST_LOST)
            taken = milliseconds(open_tflite(draft), validation.pictures)
        except Exception as error:
            # TensorFlow's converter has many errors of its own.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"The model cannot be taken to {NAME}: {reason}") from error
        if accuracy < keras_accuracy - MOST_LOST:
            raise UserError(
                f"In whole numbers the model gets {percent(accuracy)} of the validation pictures "
                f"right, whichever layers are left out, before {percent(keras_accuracy)}; {NAME} "
                "was not kept."
            )
        found = Measured(
            len(validation),
            accuracy,
            keras_accuracy,
            taken,
            milliseconds(_keras(model), validation.pictures),
            list(dict.fromkeys(map(_layer, in_floats))),
        )
        (folder / FILE).unlink(missing_ok=True)
        atomic.write_text(folder / FACTS, json.dumps(asdict(found), indent=1) + "\n")
        atomic.sync(draft)
        os.replace(draft, folder / FILE)
    return folder / FILE, found


def _first(
    attempts: Iterator[tuple[list[str], bytes]], draft: Path, split: Split | Part, least: float
) -> tuple[list[str], float]:
    """Writes the first that gets at least a share of a split right.

    Returns:
        Its outputs in floating point, and the share that it gets right; the best share if it is
        less for all of them.
    """
    best = 0.0
    for in_floats, quantised in attempts:
        draft.write_bytes(quantised)
        accuracy = _right(open_tflite(draft), split)
        if accuracy >= least:
            return in_floats, accuracy
        best = max(best, accuracy)
    return [], best


def ends(operations: list[str]) -> Iterator[list[str]]:
    """The last of them, the first, the last two, the first two, and so on, in growing steps.

    All are never among them.
    """
    number = 1
    while number < len(operations):
        yield operations[-number:]
        yield operations[:number]
        number += max(1, number // 2)


class _Quantiser:
    """TensorFlow's converter, and its debugger, which can leave operations as they were.

    Only this touches `tf.lite.experimental`.
    """

    def __init__(self, model: Any, data: Dataset, folder: Path) -> None:
        import keras

        size = data.image_size
        signature = keras.InputSpec(dtype="float32", shape=(1, size, size, 3), name="pictures")
        self._folder = folder / "savedmodel"
        behind_resizing(model, size).export(
            self._folder, "tf_saved_model", verbose=False, input_signature=[signature]
        )
        chosen = np.random.default_rng(0).permutation(len(data.train))[:CALIBRATING]
        self._pictures = np.asarray(data.train.pictures[np.sort(chosen)])

    def attempts(self) -> Iterator[tuple[list[str], bytes]]:
        """Models, with the outputs that they leave in floating point: none, then ever more."""
        import tensorflow as tf

        yield [], self._converter().convert()
        for in_floats in ends(self._operations()):
            options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=in_floats)
            yield in_floats, self._debugger(options).get_nondebug_quantized_model()

    def _operations(self) -> list[str]:
        """The outputs of all operations, in their order."""
        debugger, table = self._debugger(), io.StringIO()
        debugger.run()
        debugger.layer_statistics_dump(table)
        table.seek(0)
        return [row["tensor_name"] for row in csv.DictReader(table)]

    def _converter(self) -> Any:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(str(self._folder))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = self._shown
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
        return converter

    def _debugger(self, options: Any = None) -> Any:
        import tensorflow as tf

        return tf.lite.experimental.QuantizationDebugger(
            converter=self._converter(), debug_dataset=self._shown, debug_options=options
        )

    def _shown(self) -> Iterator[list[np.ndarray]]:
        for picture in self._pictures:
            yield [picture[None].astype(np.float32)]


def _keras(model: Any) -> Runner:
    return lambda pictures: np.asarray(model.predict_on_batch(pictures))


def _right(run: Runner, split: Split | Part) -> float:
    """The share of a split's pictures that a model gets right."""
    right = 0
    for first in range(0, len(split), BATCH):
        said = run(np.asarray(split.pictures[first : first + BATCH]))
        chosen = said[:, 0] > 0.5 if said.shape[1] == 1 else said.argmax(axis=1)
        right += int((chosen == split.labels[first : first + BATCH]).sum())
    return right / len(split)


def _layer(output: str) -> str:
    """The layer that an operation's output is of: `model_1/head_1/dense_1/Relu` → `head/dense`.

    What the model gives back has no path; it is called `output`.
    """
    path = output.split(";")[0].split("/")[1:-1]
    return "/".join(part.removesuffix("_1") for part in path if part != "batchnorm") or "output"
