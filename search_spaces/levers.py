"""The article's four levers, and what must move with them, as KerasTuner hyperparameters.

Space `article`: data augmentation, dropout, L1/L2 penalties, unfrozen layers. With them move the
learning rates, and how long the head is trained before layers below it are unfrozen. All else is
as in the article.

Space `levers`: the same four on today's recipe, see `models.optimizer`. What pixels go through
before VGG16 is what its weights were trained with, the head stands on averaged features, rates warm
up, fall along a cosine, and from unit to unit.

A space has one backbone or several, of which a trial has one. How many of its last units are
trained is `unfrozen`; where there are several that is asked for as `NAME/unfrozen`, since a number
means another depth in each.

Where some classes have few pictures, both of these have class weights for a lever.

Space `full`: that recipe, with all of it for levers: also the head's width and pooling, what pixels
go through before VGG16, batch size, optimizer and weight decay, and mixup for the small convnet. On
cached features mixup would blend what stands at the frontier, so that it was another method at
every number of unfrozen layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from search_spaces.constraints import WHOLE, Constraints

if TYPE_CHECKING:
    import keras_tuner

ARTICLES = {"vgg16": 13}  # the article's backbone, and its conv layers
CONVNET = "convnet"  # the small one, from scratch
AUGMENTATIONS = ("none", "flip", "article", "medium", "strong")
# Mirrored pictures cost one more pass of the frozen layers, the others one a view.
AUGMENTATIONS_TODAY = ("none", "mirror", "medium", "strong", "crop")
REGULARIZATIONS = ("none", "l1", "l2", "both")
# In space `full` alone: each costs a pass of the frozen layers a view.
MORE_AUGMENTATIONS = ("erase",)
# Of each space, by its name: a study goes on in the one that it began with.
VERSIONS = {"article": 1, "levers": 3, "full": 4}
SPACES = tuple(VERSIONS)
BATCH_SIZES = (8, 16, 32, 64)
MIXUPS = (0.0, 0.1, 0.2, 0.4)  # alpha, see `models.mixup`
WIDTHS = (32, 64, 128, 256, 512)
CLASS_WEIGHTS = ("none", "inverse", "effective")
POOLINGS = ("average", "standardised")
PREPROCESSINGS = ("imagenet", "rescale")
OPTIMIZERS = ("adamw", "sgd", "rmsprop")

# What space `levers` holds fast: for what warmup, average and clip do see `models.optimizer`.
RECIPE = {
    "optimizer": "adamw",
    "batch_size": 32,
    "warmup": 0.1,
    "weight_decay": 1e-2,
    "average": 0.99,
    "clip": 1.0,
}


def declare(
    hp: keras_tuner.HyperParameters,
    epochs: int,
    depths: Mapping[str, int] = ARTICLES,
    space: str = "article",
    convnet: bool = True,
    imbalanced: bool = False,
) -> dict[str, Any]:
    """Asks `hp` for every hyperparameter of one trial.

    Args:
        hp: The hyperparameters, which answer with the values of one trial.
        epochs: Epochs of a trial that is not stopped early.
        depths: The most units that are trained of each backbone, by its name; `vgg16` has 13.
        space: One of `SPACES`.
        convnet: Whether space `levers` has the small convnet beside them, as the others do.
        imbalanced: Whether some classes have few pictures, see `evaluation.metrics`.

    Returns:
        The active hyperparameters by name, plain and JSON-able. Those that do not matter in this
        trial (the strength of a penalty that is off, say) are absent.
    """
    if space == "article":
        values = _as_in_the_article(hp, epochs, depths)
    else:
        full = space == "full"
        values = _on_todays_recipe(hp, epochs, depths, convnet or full, full)
        if imbalanced:
            values["class_weights"] = hp.Choice("class_weights", list(CLASS_WEIGHTS))
    return {name: value for name, value in values.items() if value is not None}


def depth_name(network: str, depths: Mapping[str, int]) -> str:
    """What the number of a backbone's trained units is asked for as."""
    return "unfrozen" if len(depths) == 1 else f"{network}/unfrozen"


def _as_in_the_article(
    hp: keras_tuner.HyperParameters, epochs: int, depths: Mapping[str, int]
) -> dict[str, Any]:
    """None for what does not matter, here and below."""
    values: dict[str, Any] = {
        # The small convnet is a choice beside the others, because it wins where their weights know
        # nothing of the pictures.
        "network": hp.Choice("network", [*depths, CONVNET]),
        **_levers(hp, AUGMENTATIONS, 1e-5, 1e-2),
        "epochs": hp.Fixed("epochs", epochs),
        "batch_size": hp.Fixed("batch_size", 16),
        **_penalties(hp),
    }
    for network, most in depths.items():
        with hp.conditional_scope("network", [network]):
            depth = depth_name(network, depths)
            _put(values, "unfrozen", hp.Int(depth, 0, most))
            with _fine_tuning(hp, depth, most):
                rate = hp.Float("fine_tune_rate", 1e-6, 1e-3, sampling="log", default=1e-4)
                _put(values, "fine_tune_rate", rate)
                share = hp.Choice("head_epochs", _shares(epochs), default=epochs)
                _put(values, "head_epochs", share)
    return values


def _on_todays_recipe(
    hp: keras_tuner.HyperParameters,
    epochs: int,
    depths: Mapping[str, int],
    convnet: bool,
    full: bool,
) -> dict[str, Any]:
    """The four levers, rates, and the recipe's settings: fixed, or in space `full` levers too."""
    recipe: dict[str, Any] = {}
    poolings, preprocessings = list(POOLINGS), [PREPROCESSINGS[0]]
    if full:
        # SGD wants higher rates than the others.
        levers, fine_tune = _levers(hp, augmentations("full"), 1e-5, 1e-1), (1e-6, 1e-2)
        poolings, preprocessings = [*POOLINGS, "flatten"], list(PREPROCESSINGS)
        recipe = {
            "optimizer": hp.Choice("optimizer", list(OPTIMIZERS)),
            "batch_size": hp.Choice("batch_size", list(BATCH_SIZES), default=32),
            "weight_decay": hp.Float("weight_decay", 1e-4, 1.0, sampling="log", default=1e-2),
            "width": hp.Choice("width", list(WIDTHS), default=256),
        }
    else:
        levers, fine_tune = _levers(hp, AUGMENTATIONS_TODAY, 1e-4, 1e-2), (1e-5, 5e-4)
    recipe |= {name: hp.Fixed(name, RECIPE[name]) for name in RECIPE if name not in recipe}
    values: dict[str, Any] = {
        "network": _one_of(hp, "network", [*depths, CONVNET] if convnet else list(depths)),
        **levers,
        "epochs": hp.Fixed("epochs", epochs),
        "label_smoothing": hp.Float("label_smoothing", 0.0, 0.2, step=0.05),
        **recipe,
        **_penalties(hp),
    }
    if full:
        with hp.conditional_scope("network", [CONVNET]):
            values["mixup"] = hp.Choice("mixup", list(MIXUPS))
    with hp.conditional_scope("network", list(depths)):
        values["pooling"] = hp.Choice("pooling", poolings)
    for network, most in depths.items():
        with hp.conditional_scope("network", [network]):
            depth = depth_name(network, depths)
            _put(values, "unfrozen", hp.Int(depth, 0, most))
            if network in ARTICLES:  # others have one of their own
                values["preprocessing"] = _one_of(hp, "preprocessing", preprocessings)
            with _fine_tuning(hp, depth, most):
                low, high = fine_tune
                rate = hp.Float("fine_tune_rate", low, high, sampling="log", default=5e-5)
                _put(values, "fine_tune_rate", rate)
                shares = _shares(epochs)
                _put(values, "head_epochs", hp.Choice("head_epochs", shares, default=shares[0]))
                decay = hp.Float("layer_decay", 0.5, 1.0, step=0.05, default=0.8)
                _put(values, "layer_decay", decay)
    return values


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    """Of one backbone it is, of the others None."""
    if value is not None:
        values[name] = value


def augmentations(space: str) -> tuple[str, ...]:
    """The policies that a space chooses from."""
    if space == "article":
        return AUGMENTATIONS
    whole = tuple(dict.fromkeys(AUGMENTATIONS_TODAY + AUGMENTATIONS + MORE_AUGMENTATIONS))
    return whole if space == "full" else AUGMENTATIONS_TODAY


def _levers(
    hp: keras_tuner.HyperParameters, policies: Sequence[str], low: float, high: float
) -> dict[str, Any]:
    """Those of all networks; the learning rate of a head lies between `low` and `high`."""
    return {
        "augmentation": hp.Choice("augmentation", list(policies)),
        "dropout": hp.Float("dropout", 0.0, 0.8, step=0.05, default=0.5),
        "regularization": hp.Choice("regularization", list(REGULARIZATIONS)),
        "head_rate": hp.Float("head_rate", low, high, sampling="log", default=1e-3),
    }


def _penalties(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    found = {}
    for penalty, low, high in (("l1", 1e-7, 1e-3), ("l2", 1e-6, 1e-2)):
        with hp.conditional_scope("regularization", [penalty, "both"]):
            found[penalty] = hp.Float(penalty, low, high, sampling="log")
    return found


def _fine_tuning(
    hp: keras_tuner.HyperParameters, depth: str, most: int
) -> AbstractContextManager[None]:
    """The scope of what matters with unfrozen layers alone.

    Among it is how long the head is trained before: one trained for long overfits before the layers
    below it move. It has few values, so that trials can share their heads.
    """
    # KerasTuner wants a value, if it never occurs.
    scope: AbstractContextManager[None] = hp.conditional_scope(
        depth, list(range(1, most + 1)) or [1]
    )
    return scope


def _one_of(hp: keras_tuner.HyperParameters, name: str, values: Sequence[str]) -> Any:
    return hp.Choice(name, list(values)) if len(values) > 1 else hp.Fixed(name, values[0])


def _shares(epochs: int) -> list[int]:
    return sorted({max(1, round(epochs * share)) for share in (0.1, 0.2, 0.5, 1.0)})


def complete(
    point: Mapping[str, Any],
    epochs: int,
    depths: Mapping[str, int] = ARTICLES,
    space: str = "article",
    convnet: bool = True,
    constraints: Constraints = WHOLE,
    imbalanced: bool = False,
) -> dict[str, Any]:
    """All hyperparameters of a trial of which `point` fixes some; the others take defaults.

    Raises:
        constraints.ConstraintError: If there is no hyperparameter of a name, or not the value.
    """
    # Imports Keras, which takes seconds: not where the command line wants a name only.
    from search_spaces import points

    return points.complete(
        lambda hp: declare(hp, epochs, depths, space, convnet, imbalanced),
        named(point, depths),
        constraints,
    )


def named(point: Mapping[str, Any], depths: Mapping[str, int]) -> dict[str, Any]:
    """A trial's hyperparameters as `declare` asks for them."""
    network = point.get("network", next(iter(depths)))
    found = dict(point)
    if "unfrozen" in found and network in depths:
        found[depth_name(network, depths)] = found.pop("unfrozen")
    return found
