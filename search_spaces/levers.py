"""The article's four levers, and what must move with them, as KerasTuner hyperparameters.

The levers: data augmentation, dropout, L1/L2 penalties, unfrozen layers. With them move the
learning rates, and how long the head is trained before layers below it are unfrozen. All else is
as in the article.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras_tuner

NETWORKS = ("vgg16", "convnet")
AUGMENTATIONS = ("none", "flip", "article", "medium", "strong")
REGULARIZATIONS = ("none", "l1", "l2", "both")
MAX_UNFROZEN = 6


def declare(
    hp: keras_tuner.HyperParameters, epochs: int, max_unfrozen: int = MAX_UNFROZEN
) -> dict[str, Any]:
    """Asks `hp` for every hyperparameter of one trial.

    Args:
        hp: Answers with the values of one trial.
        epochs: Epochs of a trial that is not stopped early.
        max_unfrozen: The most conv layers of VGG16 that are trained, of 13.

    Returns:
        The active hyperparameters by name, plain and JSON-able. Those that do not matter in this
        trial (the strength of a penalty that is off, say) are absent.
    """
    # The small convnet is a choice beside VGG16, because it wins where the weights know nothing of
    # the pictures.
    network = hp.Choice("network", list(NETWORKS))
    values: dict[str, Any] = {
        "network": network,
        "augmentation": hp.Choice("augmentation", list(AUGMENTATIONS)),
        "dropout": hp.Float("dropout", 0.0, 0.8, step=0.05, default=0.5),
        "regularization": hp.Choice("regularization", list(REGULARIZATIONS)),
        "head_rate": hp.Float("head_rate", 1e-5, 1e-2, sampling="log", default=1e-3),
        "epochs": hp.Fixed("epochs", epochs),
        "batch_size": hp.Fixed("batch_size", 16),
    }
    for penalty, low, high in (("l1", 1e-7, 1e-3), ("l2", 1e-6, 1e-2)):
        with hp.conditional_scope("regularization", [penalty, "both"]):
            values[penalty] = hp.Float(penalty, low, high, sampling="log")
    with hp.conditional_scope("network", ["vgg16"]):
        values["unfrozen"] = hp.Int("unfrozen", 0, max_unfrozen)
        with hp.conditional_scope("unfrozen", list(range(1, max_unfrozen + 1))):
            values["fine_tune_rate"] = hp.Float(
                "fine_tune_rate", 1e-6, 1e-3, sampling="log", default=1e-4
            )
            # A head trained for long overfits before the layers below it move. Few values, so
            # that trials can share their heads.
            values["head_epochs"] = hp.Choice("head_epochs", _shares(epochs), default=epochs)
    return {name: value for name, value in values.items() if value is not None}


def _shares(epochs: int) -> list[int]:
    return sorted({max(1, round(epochs * share)) for share in (0.1, 0.2, 0.5, 1.0)})


def complete(point: dict[str, Any], epochs: int) -> dict[str, Any]:
    """All hyperparameters of a trial of which `point` fixes some; the others take defaults."""
    # Imports Keras, which takes seconds: not where the command line wants a name only.
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values.update(point)
    return declare(hp, epochs)
