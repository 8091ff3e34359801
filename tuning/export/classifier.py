"""The best model of a run, ready to classify pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.units import FEATURES
from tuning.data.decoding import AS_IN_THE_ARTICLE, DecodeSettings, Levels
from tuning.errors import UserError
from tuning.export import familiar as shown
from tuning.export.familiar import Familiar
from tuning.options.choices import ASPECTS

if TYPE_CHECKING:
    from tuning.export.heat import HeatMaps

MODEL = "model.keras"
CLASSES = "classes.json"
LARGEST = 2**14  # pixels of a side


class Said(NamedTuple):
    """What is said of a picture.

    Attributes:
        probabilities: The probabilities of the classes, (classes,) in their order.
        unlike: Whether it is unlike all that the model was shown; None where that is not known.
    """

    probabilities: np.ndarray
    unlike: bool | None


@dataclass(frozen=True)
class Classifier:
    """A network with the names of what it tells apart.

    Attributes:
        model: The Keras model that `tuning.export` wrote.
        classes: Names, in the order of its probabilities.
        image_size: Side in pixels of the pictures it was trained on.
        settings: How those were decoded.
        familiar: What it was shown, None where that is not known.
    """

    model: Any
    classes: tuple[str, ...]
    image_size: int
    settings: DecodeSettings = AS_IN_THE_ARTICLE
    familiar: Familiar | None = None

    def probabilities(self, pictures: list[np.ndarray]) -> np.ndarray:
        """What the network says of pictures, each uint8 (S, S, 3): (N, classes), rows add up to 1.

        One thread at a time.
        """
        return np.stack([each.probabilities for each in self.judge(pictures)])

    def judge(self, pictures: list[np.ndarray]) -> list[Said]:
        """What is said of each of some pictures, uint8 (S, S, 3) each. One thread at a time."""
        batch = np.stack(pictures)
        if self.familiar is None:
            said, unlike = self.model.predict_on_batch(batch), [None] * len(batch)
        else:
            said, features = self.both.predict_on_batch(batch)
            unlike = self.familiar.unlike(np.asarray(features)).tolist()
        rows = np.asarray(said)
        if rows.shape[1] == 1:
            rows = np.concatenate([1 - rows, rows], axis=1)
        return [Said(row, each) for row, each in zip(rows, unlike, strict=True)]

    @cached_property
    def both(self) -> Any:
        """The network with what its head takes, averaged over all places, as a second output."""
        import keras

        features = self.model.get_layer(FEATURES).output
        pooled = keras.layers.GlobalAveragePooling2D()(features)
        return compiled(keras.Model(self.model.inputs, [self.model.outputs[0], pooled]))

    @cached_property
    def heat_maps(self) -> HeatMaps | None:
        """What draws where the network found what it says; None where that cannot be known."""
        from tuning.export.heat import HeatMaps

        return HeatMaps(self.model) if HeatMaps.can(self.model) else None

    def ranked(self, row: np.ndarray, most: int | None = None) -> list[tuple[str, float]]:
        """Classes with their probabilities, the likeliest first; at most so many."""
        order = np.argsort(-row, kind="stable")[:most]
        return [(self.classes[index], float(row[index])) for index in order]


def check(run: Path) -> None:
    """Sees, without importing Keras, whether a run folder has a best model.

    Raises:
        UserError: If it has none.
    """
    path = run / "best" / MODEL
    if not path.is_file():
        raise UserError(
            f"No model in {run} (looked for {path}); give the folder of a finished run, as in "
            "runs/NAME."
        )


def load(run: Path) -> Classifier:
    """Reads the best model of a run folder; imports Keras.

    Raises:
        UserError: If there is none, or its files are damaged.
    """
    check(run)
    folder = run / "best"
    try:
        facts = json.loads((folder / CLASSES).read_text(encoding="utf-8"))
        classes, size = tuple(map(str, facts["classes"])), int(facts["image_size"])
        levels = facts.get("levels")
        keep_aspect = facts.get("keep_aspect")
        if keep_aspect not in (None, *ASPECTS):
            raise ValueError(f"keep_aspect is {keep_aspect!r}")
        if len(classes) < 2:
            raise ValueError(f"it names {len(classes)} classes")
        if not 0 < size <= LARGEST:
            raise ValueError(f"image_size is {size}")
        settings = DecodeSettings(Levels(*map(float, levels)) if levels else None, keep_aspect)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder / CLASSES} cannot be read ({type(error).__name__}: {error})."
        ) from None
    import keras

    try:
        model = keras.saving.load_model(folder / MODEL, compile=False)
    except Exception as error:
        # Keras, zipfile and h5py have many ways to say that bytes are damaged.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder / MODEL} cannot be loaded: {reason}") from None
    outputs = model.output_shape[-1] if len(model.outputs) == 1 else 0
    if outputs != (1 if len(classes) == 2 else len(classes)) and outputs != len(classes):
        raise UserError(
            f"{folder / MODEL} tells {max(outputs, 2)} classes apart, but {CLASSES} beside it "
            f"names {len(classes)}: they are of different runs."
        )
    known = any(each.name == FEATURES for each in model.layers)
    familiar = shown.read(folder) if known else None
    return Classifier(compiled(model), classes, size, settings, familiar)


def compiled(model: Any) -> Any:
    """A model that predicts as quickly as it can."""
    import keras

    # Without loss and optimizer: this only decides how `predict_on_batch` is compiled. On CPU, XLA
    # is slower on convolutions, and compiles anew for every batch size.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(jit_compile=jit)
    return model
