"""Which frozen networks the user asked for, each with its weights."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from models import weights as weight_files
from models.backbones import Backbone, plain
from models.weights import WeightsError
from search_spaces.experiments import BACKBONE
from search_spaces.levers import CONVNET
from tuning.errors import UserError
from tuning.files.shared_folder import fetch_file
from tuning.options import Options
from tuning.options.kinds import split_weights
from tuning.options.options import DEFAULTS
from tuning.training.source import FILE, Source, is_users, vgg16_from

log = logging.getLogger(__name__)


def sources(options: Options, networks: Sequence[str]) -> tuple[Source, ...]:
    """The networks that are searched, in the user's order.

    Args:
        options: What the user asked for.
        networks: The networks, as --backbone takes them; a HyperModel has one or none.

    Raises:
        UserError: If two have one name, or weights are of none, or cannot be had.
    """
    if not networks:
        return ()
    names = [_name(each) for each in networks]
    for name in names:
        if names.count(name) > 1 or name == CONVNET:
            raise UserError(f"--backbone: two networks are called {name}; rename one.")
    given = _given(options.weights, names)
    found = []
    for name, network in zip(names, networks, strict=True):
        usual = "own" if is_users(network) else "imagenet"
        found.append(Source(name, network, given.get(name, usual), os.getcwd()))
    for each in found:
        if each.weights != "own":
            try:
                weight_files.check(fetch_file(each.weights))
            except WeightsError as error:
                raise UserError(str(error)) from error
    return tuple(found)


def beside(options: Options, searched: Iterable[Source]) -> tuple[Source, ...]:
    """VGG16 for the article's experiments beside others, where its weights are at hand."""
    names = [each.name for each in searched]
    if BACKBONE in names or options.no_experiments or options.hypermodel is not None:
        return ()
    given = _given(options.weights, names).get(BACKBONE)
    if given is None and not weight_files.imagenet_file().exists():
        return ()
    return vgg16_from(given or "imagenet")


def image_size(found: Iterable[Source]) -> int:
    """What the largest of the networks is made for, in pixels a side; takes Keras.

    Raises:
        UserError: If there is no such network.
    """
    from tuning.training.backbones import usual_size

    sizes = {each.name: usual_size(each) for each in found}
    if not sizes:  # a HyperModel that takes pictures
        return int(DEFAULTS["image_size"])
    largest = max(sizes, key=lambda name: sizes[name])
    log.info("Pictures are scaled to %d pixels, as %s takes them", sizes[largest], largest)
    return sizes[largest]


def loaded(options: Options, source: Source, size: int) -> tuple[Source, Backbone]:
    """A network, and where its weights are from after all; the demo does without ImageNet's.

    Raises:
        UserError: If it cannot be had.
    """
    from tuning.training.backbones import load

    how = options.preprocessing if source.name == BACKBONE else "imagenet"
    try:
        with redirect_stdout(_Downloads(source.name)):
            found = load(source, size, how)
    except UserError as error:
        # Other weights help against nothing but weights that cannot be had.
        lacking = isinstance(error.__cause__, WeightsError)
        if options.data or options.weights or source.weights != "imagenet" or not lacking:
            raise
        log.warning("%s", error)
        log.warning("The demo goes on with random weights.")
        source = replace(source, weights="random")
        found = load(source, size, how)
    return replace(source, identity=found.identity), found


class _Downloads(io.StringIO):
    """Where Keras says what it downloads, in hundreds of lines; one of ours."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.said = name, False

    def write(self, text: str) -> int:
        if "Downloading data" in text and not self.said:
            self.said = True
            log.info("ImageNet weights of %s are downloaded for Keras' cache", self.name)
        return len(text)


def _given(weights: Iterable[str], names: list[str]) -> dict[str, str]:
    """The sources of weights by backbone; one name may be left out."""
    found: dict[str, str] = {}
    bare = []
    for text in weights:
        name, source = split_weights(text)
        if name is None:
            bare.append(source)
        elif plain(name) in (*map(plain, names), BACKBONE):
            found[next((each for each in names if plain(each) == plain(name)), BACKBONE)] = source
        else:
            raise UserError(
                f"--weights {text}: there is no backbone {name}, but {', '.join(names)}."
            )
    left = [name for name in names if name not in found]
    if len(bare) > 1 or (bare and not left):
        raise UserError(
            f"--weights {bare[-1]}: say of which backbone, as in --weights {names[-1]}={bare[-1]}."
        )
    return found | dict(zip(left, bare, strict=False))


def _name(network: str) -> str:
    if network.endswith(FILE):
        return re.sub(r"[^\w-]", "_", Path(network).stem)
    return network.rpartition(":")[2] if ":" in network else plain(network)
