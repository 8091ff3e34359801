"""The article's four levers, and what must move with them, as KerasTuner hyperparameters.

Space `article`: data augmentation, dropout, L1/L2 penalties, unfrozen layers. With them move the
learning rates, and how long the head is trained before layers below it are unfrozen. All else is
as in the article.

Space `levers`: the same four on today's recipe, see `models.optimizer`. What pixels go through
before VGG16 is what its weights were trained with, the head stands on averaged features, rates warm
up, fall along a cosine, and from layer to layer.

Space `full`: the article's, and also the head's width and pooling, what pixels go through before
VGG16, batch size, optimizer, label smoothing and decoupled weight decay. By default they are as in
the article, so every point of space `article` is one of space `full`.

Mixup is no lever: on cached features it would mix what stands at the frontier, so that it was
another method at every number of unfrozen layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.constraints import WHOLE, Constraints

if TYPE_CHECKING:
    import keras_tuner

NETWORKS = ("vgg16", "convnet")
AUGMENTATIONS = ("none", "flip", "article", "medium", "strong")
REGULARIZATIONS = ("none", "l1", "l2", "both")
DECAY = "decay"  # a kind of regularization in space `full`
MAX_UNFROZEN = 6
SPACES = ("article", "levers", "full")
BATCH_SIZES = (8, 16, 32, 64)
WIDTHS = (32, 64, 128, 256, 512)
POOLINGS = ("flatten", "average")
POOLINGS_TODAY = ("average", "standardised")
PREPROCESSINGS = ("rescale", "imagenet")
OPTIMIZERS = ("rmsprop", "sgd", "adam")

# What space `levers` holds fast: for what warmup, average and clip do see `models.optimizer`.
RECIPE = {
    "optimizer": "adamw",
    "batch_size": 32,
    "warmup": 0.1,
    "weight_decay": 1e-2,
    "average": 0.99,
    "clip": 1.0,
    "preprocessing": "imagenet",
}


def declare(
    hp: keras_tuner.HyperParameters,
    epochs: int,
    max_unfrozen: int = MAX_UNFROZEN,
    space: str = "article",
    preprocessing: str = "rescale",
) -> dict[str, Any]:
    """Asks `hp` for every hyperparameter of one trial.

    Args:
        hp: The hyperparameters, which answer with the values of one trial.
        epochs: Epochs of a trial that is not stopped early.
        max_unfrozen: The most conv layers of VGG16 that are trained, of 13.
        space: One of `SPACES`.
        preprocessing: The article's experiments' in this search, the default of the lever.

    Returns:
        The active hyperparameters by name, plain and JSON-able. Those that do not matter in this
        trial (the strength of a penalty that is off, say) are absent.
    """
    if space == "levers":
        return _active(_on_todays_recipe(hp, epochs, max_unfrozen))
    full = space == "full"
    # The small convnet is a choice beside VGG16, because it wins where the weights know nothing of
    # the pictures.
    network = hp.Choice("network", list(NETWORKS))
    penalties = [*REGULARIZATIONS, DECAY] if full else list(REGULARIZATIONS)
    values: dict[str, Any] = {
        "network": network,
        "augmentation": hp.Choice("augmentation", list(AUGMENTATIONS)),
        "dropout": hp.Float("dropout", 0.0, 0.8, step=0.05, default=0.5),
        "regularization": hp.Choice("regularization", penalties),
        "head_rate": hp.Float("head_rate", 1e-5, 1e-2, sampling="log", default=1e-3),
        "epochs": hp.Fixed("epochs", epochs),
    }
    if not full:
        values["batch_size"] = hp.Fixed("batch_size", 16)
    values |= _penalties(hp)
    with hp.conditional_scope("network", ["vgg16"]):
        values["unfrozen"] = hp.Int("unfrozen", 0, max_unfrozen)
        # KerasTuner wants a value, if it never occurs.
        with hp.conditional_scope("unfrozen", list(range(1, max_unfrozen + 1)) or [1]):
            values["fine_tune_rate"] = hp.Float(
                "fine_tune_rate", 1e-6, 1e-3, sampling="log", default=1e-4
            )
            # A head trained for long overfits before the layers below it move. Few values, so
            # that trials can share their heads.
            values["head_epochs"] = hp.Choice("head_epochs", _shares(epochs), default=epochs)
    if full:
        values |= _beyond_the_article(hp, network, bool(values["unfrozen"]), preprocessing)
    return _active(values)


def _active(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _penalties(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    found = {}
    for penalty, low, high in (("l1", 1e-7, 1e-3), ("l2", 1e-6, 1e-2)):
        with hp.conditional_scope("regularization", [penalty, "both"]):
            found[penalty] = hp.Float(penalty, low, high, sampling="log")
    return found


def _on_todays_recipe(
    hp: keras_tuner.HyperParameters, epochs: int, max_unfrozen: int
) -> dict[str, Any]:
    """The four levers, rates, and the recipe's settings, most of them fixed."""
    values: dict[str, Any] = {
        "network": hp.Fixed("network", "vgg16"),
        "augmentation": hp.Choice("augmentation", list(AUGMENTATIONS)),
        "dropout": hp.Float("dropout", 0.0, 0.8, step=0.05, default=0.5),
        "regularization": hp.Choice("regularization", list(REGULARIZATIONS)),
        "head_rate": hp.Float("head_rate", 1e-4, 1e-2, sampling="log", default=1e-3),
        "epochs": hp.Fixed("epochs", epochs),
        "unfrozen": hp.Int("unfrozen", 0, max_unfrozen),
        "label_smoothing": hp.Float("label_smoothing", 0.0, 0.2, step=0.05),
        "pooling": hp.Choice("pooling", list(POOLINGS_TODAY)),
        **{name: hp.Fixed(name, value) for name, value in RECIPE.items()},
    }
    values |= _penalties(hp)
    with hp.conditional_scope("unfrozen", list(range(1, max_unfrozen + 1)) or [1]):
        values["fine_tune_rate"] = hp.Float(
            "fine_tune_rate", 1e-5, 5e-4, sampling="log", default=5e-5
        )
        values["head_epochs"] = hp.Choice(
            "head_epochs", _shares(epochs), default=_shares(epochs)[0]
        )
        values["layer_decay"] = hp.Float("layer_decay", 0.5, 1.0, step=0.05, default=0.8)
    return values


def _beyond_the_article(
    hp: keras_tuner.HyperParameters, network: str, fine_tunes: bool, preprocessing: str
) -> dict[str, Any]:
    """What only space `full` has; None for what does not matter."""
    # The article's width and optimizer depend on the network, so the defaults do.
    width = 64 if network == "convnet" else 256
    optimizer = "sgd" if fine_tunes else "rmsprop"
    values: dict[str, Any] = {
        "batch_size": hp.Choice("batch_size", list(BATCH_SIZES), default=16),
        "label_smoothing": hp.Float("label_smoothing", 0.0, 0.2, step=0.05),
        "width": hp.Choice("width", list(WIDTHS), default=width),
        "optimizer": hp.Choice("optimizer", list(OPTIMIZERS), default=optimizer),
    }
    with hp.conditional_scope("regularization", [DECAY]):
        values["weight_decay"] = hp.Float("weight_decay", 1e-4, 1.0, sampling="log", default=1e-2)
    with hp.conditional_scope("network", ["vgg16"]):
        values["pooling"] = hp.Choice("pooling", list(POOLINGS))
        values["preprocessing"] = hp.Choice(
            "preprocessing", list(PREPROCESSINGS), default=preprocessing
        )
    return values


def _shares(epochs: int) -> list[int]:
    return sorted({max(1, round(epochs * share)) for share in (0.1, 0.2, 0.5, 1.0)})


def complete(
    point: Mapping[str, Any],
    epochs: int,
    max_unfrozen: int = MAX_UNFROZEN,
    space: str = "article",
    preprocessing: str = "rescale",
    constraints: Constraints = WHOLE,
) -> dict[str, Any]:
    """All hyperparameters of a trial of which `point` fixes some; the others take defaults.

    Raises:
        constraints.ConstraintError: If there is no hyperparameter of a name, or not the value.
    """
    # Imports Keras, which takes seconds: not where the command line wants a name only.
    from search_spaces import points

    return points.complete(
        lambda hp: declare(hp, epochs, max_unfrozen, space, preprocessing), point, constraints
    )
