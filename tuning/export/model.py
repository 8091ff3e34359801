"""The best trial as one whole Keras model; other formats of it: `python -m tuning.export RUN`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.errors import UserError
from tuning.export import formats, integers
from tuning.export.classifier import CLASSES, MODEL, Classifier, check, load
from tuning.files import atomic
from tuning.process.backend import import_keras
from tuning.process.commands import Parser, exit_code
from tuning.process.surroundings import put_back
from tuning.records.run_folder import RunFolder
from tuning.training import pictures

if TYPE_CHECKING:
    import keras

    from models.network import Member
    from tuning.data.dataset import Dataset
    from tuning.training.context import TrialContext


def export(
    context: TrialContext, hyperparameters: dict[str, Any], weights: list[np.ndarray], folder: Path
) -> tuple[keras.Model, Path]:
    """Builds a trial's whole model and writes it, see `write`.

    Args:
        context: What all trials share.
        hyperparameters: The trial's.
        weights: The weights that it kept, see `training.Trial.weights`.
        folder: The folder to write into; it is made.

    Returns:
        The model and its path.
    """
    model = build(context, hyperparameters, weights)
    return model, write(model, context.dataset, folder)


def write(model: keras.Model, dataset: Dataset, folder: Path) -> Path:
    """Writes `model.keras` and `classes.json` into `folder`, and returns the model's path.

    The model takes pictures (B, height, width, 3) of any size, in 0..255, and gives probabilities:
    (B, 1) of the second class for two classes, else (B, classes). It loads with
    `keras.saving.load_model` in safe mode, without this project. `classes.json` names the classes
    in order and the side, in pixels, of the pictures that the trial saw; where they had more than 8
    bits, `levels` are the values that were black and white; `keep_aspect` is there where they were
    cropped or padded. Other formats of a model that was there before are removed.

    Args:
        model: The model.
        dataset: The pictures that it was trained on.
        folder: The folder to write into; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL
    with atomic.replacing(path) as draft:
        model.save(draft)
        formats.remove(folder)
    facts: dict[str, Any] = {"classes": dataset.classes, "image_size": dataset.image_size}
    if levels := dataset.settings.levels:
        facts["levels"] = [levels.low, levels.high]
    if dataset.settings.keep_aspect:
        facts["keep_aspect"] = dataset.settings.keep_aspect
    atomic.write_text(folder / CLASSES, json.dumps(facts, indent=1) + "\n")
    return path


def build(
    context: TrialContext, hyperparameters: dict[str, Any], weights: list[np.ndarray]
) -> keras.Model:
    """A trial's model from pictures to probabilities, with its frozen layers.

    Args:
        context: What all trials share.
        hyperparameters: The trial's.
        weights: The weights that it kept, see `training.Trial.weights`.
    """
    dataset = context.dataset
    if context.hypermodel:
        from tuning.training import hypermodel_trial
        from tuning.training.hypermodel import load as load_hypermodel

        backbone = context.backbone if context.sources else None
        features = backbone.shape(backbone.top) if backbone else None
        hypermodel = load_hypermodel(context.hypermodel, dataset, features)
        return hypermodel_trial.whole(hypermodel, hyperparameters, weights, dataset, backbone)
    from models import network

    member = trained(context, hyperparameters, weights)
    return network.whole(
        *member[:2],
        backbone=member.backbone,
        image_size=dataset.image_size,
        keep_aspect=dataset.settings.keep_aspect,
    )


def trained(
    context: TrialContext, hyperparameters: dict[str, Any], weights: list[np.ndarray]
) -> Member:
    """A trial's network without its frozen layers, of no HyperModel; arguments as for `build`."""
    from models import network

    backbone = context.backbone_for(hyperparameters)
    model = network.trainable(
        hyperparameters,
        image_size=context.dataset.image_size,
        classes=len(context.dataset.classes),
        backbone=backbone,
    )
    for variable, value in zip(network.kept(model), weights, strict=True):
        variable.assign(value)
    return network.Member(hyperparameters, model, backbone)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 2 when something is wrong with the request, or a format could not be written.
    """
    parser = Parser(
        prog="python -m tuning.export",
        description="Writes the best model of a run in other formats, beside model.keras. Each is "
        "run on sample pictures before it counts as written. Inputs are uint8 pictures: of any "
        "size for savedmodel; for the others resized to what the model was trained on, for "
        "tflite and tflite-int8 one at a time. tflite-int8 needs the run's pictures once more.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder, as in runs/NAME")
    parser.add_argument(
        "--to",
        nargs="+",
        required=True,
        choices=tuple(formats.FORMATS),
        metavar="FORMAT",
        help=f"some of {', '.join(formats.FORMATS)}",
    )
    return exit_code(lambda: _run(parser.parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    formats.check_formats(options.to)
    check(options.run)
    failed = False
    with _for_converters():
        model = load(options.run)
        for name in dict.fromkeys(options.to):
            try:
                print(_written(options.run, name, model))
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                failed = True
        refresh_card(options.run)
    return 2 if failed else 0


def _written(run: Path, name: str, model: Classifier) -> str:
    """Writes a format; returns its path, and what is to be said of it."""
    if name != integers.NAME:
        return str(formats.convert(run / "best", name, model.model, model.image_size))
    data = pictures.of_run(RunFolder(run), model.image_size, model.settings.levels)
    if data.classes != model.classes:
        raise UserError(f"The pictures in {data.root} are of other classes than the model.")
    path, found = integers.convert(run / "best", model.model, data)
    return f"{path}: {found.in_words()}"


@contextmanager
def _for_converters() -> Iterator[None]:
    """Keras for its converters, which say nothing; before Keras is imported."""
    with put_back():
        os.environ["KERAS_BACKEND"] = "tensorflow"  # they start from TensorFlow's graph
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # trials may fill the GPU
        warnings.simplefilter("ignore")  # of libraries, to each other's authors
        logging.disable(logging.WARNING)
        import_keras(Path(os.devnull))
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def refresh_card(run: Path) -> None:
    """Names the formats that are there in the model's card, where there is one."""
    from tuning.export import card
    from tuning.records.facts import load as load_facts

    if not (run / "best" / card.FILE_NAME).is_file():
        return
    try:
        card.write(load_facts(run), run)
    except UserError as error:
        # The report of another version, perhaps; the formats are there all the same.
        print(f"warning: The model's card stays as it was: {error}", file=sys.stderr)
