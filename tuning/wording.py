"""Numbers and hyperparameters as a reader likes to see them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from search_spaces import levers

MISSING = "–"

_NETWORKS = {"vgg16": "VGG16", "convnet": "small convnet"}
_OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}
_METRICS = {
    "macro_f1": "macro F1",
    "auc": "area under the ROC curve",
    "log_loss": "mean probability of the truth",  # geometric, see `evaluation.metrics`
}
_LABELS = {
    "epochs": "Epochs at most",
    "fine_tune_rate": "Fine-tuning rate",
    "l1": "L1",
    "l2": "L2",
    "unfrozen": "Unfrozen layers",
    "width": "Units of the head",
}


# Control characters, those that turn the direction of text, and bytes of a name that are no UTF-8:
# a terminal or a page would obey them, or show nothing.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def meant(name: str, known: Iterable[str]) -> str:
    """Words after a name that there is not: which known one is meant, if one is near.

    >>> meant("epoch", ["epochs", "trials"])
    '; did you mean epochs?'
    """
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def visible(text: str, keep: str = "") -> str:
    r"""Text as a person can see it: what is hidden in it as an escape, but `keep`.

    >>> print(visible("cat\x1b[2J.jpg"))
    cat\x1b[2J.jpg
    """
    return _HIDDEN.sub(
        lambda found: (
            found[0] if found[0] in keep else found[0].encode("unicode_escape").decode("ascii")
        ),
        text,
    )


def in_words(hyperparameters: Mapping[str, Any]) -> str:
    """Gives the short phrase for a configuration; keys that are absent are passed over.

    So are levers of space `full` that are as in the article. Of a HyperModel that is not ours all
    values are named.

    >>> in_words({"network": "vgg16", "unfrozen": 3, "augmentation": "article", "dropout": 0.5})
    'VGG16, 3 conv layers unfrozen, article augmentation, dropout 0.5'
    """
    network = hyperparameters.get("network")
    if not is_ours(hyperparameters):
        named = {name: each for name, each in hyperparameters.items() if name != "epochs"}
        return ", ".join(f"{name} {value(each)}" for name, each in named.items())
    phrases = [network_title(str(network))]
    unfrozen = hyperparameters.get("unfrozen")
    if unfrozen is not None and network != "convnet":
        parts = "conv layers" if network == "vgg16" else "blocks"
        some = parts.removesuffix("s") if unfrozen == 1 else parts
        phrases.append(f"{unfrozen} {some} unfrozen" if unfrozen else f"all {parts} frozen")
    augmentation = hyperparameters.get("augmentation")
    if augmentation is not None:
        phrases.append(f"{'no' if augmentation == 'none' else augmentation} augmentation")
    dropout = hyperparameters.get("dropout")
    if dropout is not None:
        phrases.append(f"dropout {value(dropout)}" if dropout else "no dropout")
    if "regularization" in hyperparameters:
        phrases.append(_penalty(hyperparameters))
    return ", ".join(phrases + _beyond_the_article(hyperparameters))


def is_ours(hyperparameters: Mapping[str, Any]) -> bool:
    """Whether these are of the levers, and not of a HyperModel of the user's."""
    network = hyperparameters.get("network")
    return network in _NETWORKS or {"network", "unfrozen", "head_rate"} <= set(hyperparameters)


def network_title(name: str) -> str:
    """Names a network: ``vgg16`` → ``VGG16``; one of the user's as they call it."""
    return _NETWORKS.get(name, name)


def _beyond_the_article(hyperparameters: Mapping[str, Any]) -> list[str]:
    """What is not as in the article, or as today's recipe has it."""
    usual: dict[str, object] = {
        "width": 64 if hyperparameters["network"] == "convnet" else 256,
        "pooling": "flatten",
        "preprocessing": "rescale",
        "optimizer": "sgd" if hyperparameters.get("unfrozen") else "rmsprop",
        "batch_size": 16,
        "label_smoothing": 0.0,
        "layer_decay": None,
        "mixup": 0.0,
        "class_weights": "none",
    }
    on_recipe = "warmup" in hyperparameters
    if on_recipe:
        usual |= levers.RECIPE
        usual |= {"pooling": "average", "preprocessing": levers.PREPROCESSINGS[0], "width": 256}
    phrases = {
        "width": "a head of {} units",
        "pooling": "{} pooling",
        "preprocessing": "preprocessing {}",
        "optimizer": "{}",
        "batch_size": "batches of {}",
        "label_smoothing": "label smoothing {}",
        "layer_decay": "rates falling by {} a layer",
        "mixup": "mixup {}",
        "class_weights": "{} class weights",
    }
    return ["today's recipe"] * on_recipe + [
        phrases[name].format(value(_OPTIMIZERS.get(hyperparameters[name], hyperparameters[name])))
        for name in phrases
        if hyperparameters.get(name, usual[name]) != usual[name]
    ]


def _penalty(hyperparameters: Mapping[str, Any]) -> str:
    kind = hyperparameters["regularization"]
    if kind == "none":
        return "no penalty"
    if kind == "decay":
        strength = hyperparameters.get("weight_decay")
        return "weight decay" if strength is None else f"weight decay {value(strength)}"
    names = ("l1", "l2") if kind == "both" else (str(kind),)
    parts = []
    for name in names:
        strength = hyperparameters.get(name)
        parts.append(name.upper() if strength is None else f"{name.upper()} {value(strength)}")
    return " and ".join(parts)


def metric(name: str) -> str:
    """Names what a search goes by: ``balanced_accuracy`` → ``balanced accuracy``."""
    if name.startswith("recall:"):
        return f"recall of {name.removeprefix('recall:')}"
    return _METRICS.get(name, name.replace("_", " "))


def label(key: str) -> str:
    """Names a hyperparameter: ``head_rate`` → ``Head rate``.

    >>> label("vgg16/unfrozen")
    'Unfrozen layers of VGG16'
    """
    network, slash, name = key.partition("/")
    if slash:
        return f"{label(name)} of {network_title(network)}"
    return _LABELS.get(key, key.replace("_", " ").capitalize())


def value(anything: object) -> str:
    """Writes any JSON value; floats with three significant digits, ``1e-05`` as ``1e-5``."""
    if anything is None:
        return MISSING
    if isinstance(anything, bool):
        return "yes" if anything else "no"
    if isinstance(anything, float):
        mantissa, mark, exponent = f"{anything:.3g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if mark else mantissa
    if isinstance(anything, list | tuple):
        return ", ".join(value(item) for item in anything)
    return str(anything)


def points(share: float) -> str:
    """A difference of two accuracies: ``0.0123`` → ``1.2 points``."""
    return f"{100 * share:.1f} points"


def percent(share: float | None) -> str:
    """``0.934`` → ``93.4 %``."""
    return MISSING if share is None else f"{100 * share:.1f} %"


def interval(ends: Sequence[float] | None) -> str:
    """``(0.915, 0.95)`` → ``91.5 to 95.0 %``."""
    return MISSING if ends is None else f"{100 * ends[0]:.1f} to {percent(ends[1])}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """``1, "trial"`` → ``1 trial``; ``1200, "trial"`` → ``1,200 trials``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def duration(seconds: float | None) -> str:
    """Writes a time with the two units that matter: ``45 s``, ``12 min 5 s``, ``3 h 20 min``."""
    if seconds is None:
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def size(number: int) -> str:
    """``12582912`` → ``12.0 MiB``."""
    if number < 1024:
        return f"{number} bytes"
    power = min((number.bit_length() - 1) // 10, 4)
    return f"{number / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def moment(iso: str) -> str:
    """``2026-11-24T16:00:00+00:00`` → ``24 November 2026, 16:00 UTC``."""
    when = datetime.fromisoformat(iso)
    return f"{when.day} {when:%B %Y, %H:%M %Z}".strip()
