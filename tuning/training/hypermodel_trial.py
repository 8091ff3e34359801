"""Trials of any `keras_tuner.HyperModel`, trained on the pictures of the search.

The HyperModel's `build` says what is tuned, and compiles a classifier of pictures in 0..255. With
an attribute `backbone` it is one of the features of that network, which are computed once for all
trials. It may ask for `batch_size` and `epochs` as well: a trial trains with them. One with a `fit`
of its own is not taken, because what it asks for there would be known only after the training.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras import ops

from models.backbones import Backbone
from models.network import resized
from models.units import PICTURE
from search_spaces.constraints import ConstraintError
from search_spaces.optuna_bridge import to_hyperparameters
from tuning.data.dataset import Dataset, Split
from tuning.data.parts import Part, Rows
from tuning.errors import UserError, one_line
from tuning.training import loadable, networks
from tuning.training.context import TrialContext
from tuning.training.hypermodel import load
from tuning.training.keras_private import unshare
from tuning.training.trial import Trial, TrialError

BATCH_SIZE = 32  # Keras' own default


# --- the space


def declare(
    hypermodel: keras_tuner.HyperModel, epochs: int
) -> Callable[[keras_tuner.HyperParameters], dict[str, Any]]:
    """The space of a HyperModel, as `check_constraints` and `points.complete` take it.

    A point has all active values, and `epochs`, unless the HyperModel asks for it. Finding it
    builds the model. Where that fails, the trial will say why.
    """

    def space(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        try:
            with keras.device("cpu"):  # trials may fill the GPU
                hypermodel.build(hp)
        except ConstraintError:
            raise
        except (Exception, SystemExit):  # whatever a combination of values leads to
            pass
        _clear()
        return {"epochs": epochs, **hp.values}

    return space


def check(
    hypermodel: keras_tuner.HyperModel, dataset: Dataset, features: tuple[int, ...] | None = None
) -> None:
    """Builds the model of the default values and sees whether it can be trained on the pictures.

    Args:
        hypermodel: The HyperModel.
        dataset: The pictures.
        features: The shape of what its models take of a picture, where it has a backbone.

    Raises:
        UserError: Why it cannot, or could not be taken home.
    """
    try:
        with keras.device("cpu"):
            model, _ = _classifier(hypermodel, {}, dataset, features)
            loadable.check(model, "--hypermodel")
    except TrialError as error:
        raise UserError(f"--hypermodel: {error}") from error
    finally:
        _clear()


def _clear() -> None:
    # Keras and TensorFlow keep what a model was built of. A network and its compiled functions
    # refer to each other; Keras has Python collect them here.
    keras.backend.clear_session()


# --- a trial


class HyperModelTrial(Trial):
    """One model of a HyperModel, trained epoch by epoch.

    Args:
        context: What all trials share; its cache is used where the HyperModel has a backbone.
        hyperparameters: The trial's, by name, as the space of `declare` returns them.
        hypermodel: The builder of the model, None for the context's.
    """

    def __init__(
        self,
        context: TrialContext,
        hyperparameters: dict[str, Any],
        hypermodel: keras_tuner.HyperModel | None = None,
    ) -> None:
        super().__init__(context, hyperparameters)
        backbone = context.backbone if context.sources else None
        self._backbone = backbone
        features = backbone.shape(backbone.top) if backbone else None
        if hypermodel is None:
            assert context.hypermodel is not None
            hypermodel = load(context.hypermodel, context.dataset, features)
        _clear()
        keras.utils.set_random_seed(context.seed)
        self.model, self._form = _classifier(hypermodel, hyperparameters, context.dataset, features)
        unshare(self.model.optimizer)
        self.model.optimizer.build(self.model.trainable_variables)

    @property
    def weights(self) -> list[np.ndarray]:
        """All of the model's, also those that are not trained, in its order."""
        return [np.array(array) for array in self.model.get_weights()]

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)

    @property
    def state(self) -> list[np.ndarray]:
        """Copies of all that training changes, the states of random numbers among them."""
        return [np.array(ops.convert_to_numpy(v)) for v in self._changing()]

    @state.setter
    def state(self, arrays: Sequence[np.ndarray]) -> None:
        for variable, array in zip(self._changing(), arrays, strict=True):
            variable.assign(array)

    def _changing(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables]

    def fit(self) -> dict[str, float]:
        """Trains one epoch; returns `loss` and `accuracy` of training."""
        train = self.context.dataset.train
        size = int(self.hyperparameters.get("batch_size", BATCH_SIZE))
        labels = self._form(train.labels)
        batches = _Batches(self._inputs(train), labels, self.order(size), size)
        history = self.model.fit(batches, epochs=1, shuffle=False, verbose=0).history
        named = [values[0] for name, values in history.items() if "acc" in name]
        if named:
            accuracy = float(named[0])
        else:
            # The model was compiled without this metric.
            accuracy = float((self.probabilities(train).argmax(axis=1) == train.labels).mean())
        return {"loss": float(history["loss"][0]), "accuracy": accuracy}

    def probabilities(self, split: Split | Part) -> np.ndarray:
        """Probabilities (N, classes) of a split's pictures."""
        network = SimpleNamespace(predict_on_batch=self._predict)
        return networks.probabilities(network, self._inputs(split))

    def _inputs(self, split: Split | Part) -> np.ndarray | Rows:
        """What the model takes of a split."""
        if self._backbone is None:
            return split.pictures
        return self.context.cache.features(split, self._backbone, self._backbone.top)

    def _predict(self, pictures: np.ndarray) -> np.ndarray:
        said = self.model.predict_on_batch(pictures.astype("float32"))
        return np.asarray(ops.convert_to_numpy(_squashed(self.model, said)))


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Pictures in 0..255, or features, as floats, with their labels, in a given order."""

    def __init__(
        self, pictures: np.ndarray | Rows, labels: np.ndarray, order: np.ndarray, size: int
    ) -> None:
        super().__init__()
        self.pictures, self.labels, self.order, self.size = pictures, labels, order, size

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.size : (index + 1) * self.size]
        return self.pictures[rows].astype("float32"), self.labels[rows]


Form = Callable[[np.ndarray], np.ndarray]  # of labels: class numbers (N,) to what a loss takes


def _classifier(
    hypermodel: keras_tuner.HyperModel,
    hyperparameters: dict[str, Any],
    dataset: Dataset,
    features: tuple[int, ...] | None = None,
) -> tuple[keras.Model, Form]:
    """The model of these values, and the form of labels that its loss takes.

    Raises:
        TrialError: If there is none, or it is no classifier of these pictures.
    """
    classes, size = len(dataset.classes), dataset.image_size
    try:
        model = hypermodel.build(to_hyperparameters(hyperparameters))
        said = model(np.zeros((1, *(features or (size, size, 3))), "float32"))
    except (Exception, SystemExit) as error:  # whatever a combination of values leads to
        raise TrialError(f"the model cannot be built: {one_line(error)}") from error
    if not model.compiled or model.loss is None or model.optimizer is None:
        raise TrialError("`build` returns a model that is not compiled with a loss")
    shape = tuple(getattr(said, "shape", ()))
    if len(shape) == 2 and shape[1] == 1 and classes == 2:
        return model, lambda labels: labels[:, None].astype("float32")
    if len(shape) != 2 or shape[1] != classes:
        raise TrialError(
            f"the model's output for a {size} x {size} picture has the shape {shape[1:]}, but "
            f"there are {classes} classes"
        )
    if "sparse" in _name(model.loss):
        return model, lambda labels: labels[:, None]
    return model, lambda labels: np.eye(classes, dtype="float32")[labels]


def _name(loss: Any) -> str:
    return str(
        loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
    )


def _squashed(model: keras.Model, said: Any) -> Any:
    """Probabilities of a model's output, which its loss may take for logits."""
    if not getattr(model.loss, "from_logits", False):
        return said
    return ops.sigmoid(said) if said.shape[-1] == 1 else ops.softmax(said)


def whole(
    hypermodel: keras_tuner.HyperModel,
    hyperparameters: dict[str, Any],
    weights: list[np.ndarray],
    dataset: Dataset,
    backbone: Backbone | None = None,
) -> keras.Model:
    """A trial's model with these weights, and resizing before it, and its backbone.

    Returns:
        A model from pictures (B, height, width, 3) of any size in 0..255 to probabilities, (B, 1)
        or (B, classes) as the HyperModel's. It loads without this project; without the
        HyperModel's, if that has no layers of its own.
    """
    features = backbone.shape(backbone.top) if backbone else None
    model, _ = _classifier(hypermodel, hyperparameters, dataset, features)
    model.set_weights(weights)
    squashed = functools.partial(_squashed, model)
    if getattr(model, "inputs", None):
        # Without its optimizer, which would be saved, and missed when the file is loaded.
        model = keras.Model(model.inputs, model.outputs[0], name=model.name)
    inputs = keras.Input((None, None, 3), name="pictures")
    x = resized(inputs, dataset.image_size, dataset.settings.keep_aspect)
    if backbone is not None:
        x = backbone.section(PICTURE, backbone.top)(x)
    return keras.Model(inputs, squashed(model(x)), name="foreign_classifier")
