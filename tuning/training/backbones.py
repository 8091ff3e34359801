"""Frozen networks from wherever they are: Keras', a user's module, a file."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import keras

from models import backbones
from models.backbones import Backbone
from models.graph import GraphError
from models.weights import WeightsError
from tuning.errors import UserError, one_line
from tuning.files.shared_folder import fetch_file
from tuning.training import loadable
from tuning.training.imported import imported
from tuning.training.source import FILE, Source, is_users

KEPT = 4  # in a process


def load(source: Source, image_size: int | None, preprocessing: str = "imagenet") -> Backbone:
    """A frozen network with its weights.

    Args:
        source: Where it is from.
        image_size: Side of the pictures in pixels; None: what the network is made for.
        preprocessing: What pixels go through before a network of `keras.applications`.

    Raises:
        UserError: Why it cannot be had, or that it is another than it was.
    """
    found = _load(replace(source, identity=None), image_size, preprocessing)
    if source.identity not in (None, found.identity):
        raise UserError(
            f"--backbone {source.network} has other weights, or computes something else, whenever "
            "it is made: let it load its weights from a file."
        )
    return found


@functools.lru_cache(maxsize=KEPT)
def _load(source: Source, image_size: int | None, preprocessing: str) -> Backbone:
    weights = fetch_file(source.weights)
    try:
        if not is_users(source.network):
            size = image_size or backbones.usual_size(source.network)
            return backbones.load(source.network, size, weights, preprocessing)
        found = _users(source)
        if isinstance(found, Backbone):
            size = image_size or found.image_size
            same = weights == "own" and size == found.image_size
            return found if same else found.at(size, weights)
        return backbones.of_model(found, source.name, image_size=image_size, weights=weights)
    except (backbones.UnknownNetwork, GraphError, WeightsError) as error:
        raise UserError(f"--backbone {source.network}: {error}") from error
    except ValueError as error:  # Keras' own, of a size that is too small
        raise UserError(f"--backbone {source.network}: {one_line(error)}") from error


def usual_size(source: Source) -> int:
    """Side of the pictures, in pixels, that a network is made for.

    Raises:
        UserError: If there is no such network.
    """
    if not is_users(source.network):
        try:
            return backbones.usual_size(source.network)
        except backbones.UnknownNetwork as error:
            raise UserError(f"--backbone {source.network}: {error}") from error
    found = _users(replace(source, identity=None))
    return found.image_size if isinstance(found, Backbone) else backbones.size_of(found)


@functools.lru_cache(maxsize=KEPT)
def _users(source: Source) -> Backbone | keras.Model:
    spec = source.network
    with keras.device("cpu"):  # trials may fill the GPU
        if spec.endswith(FILE):
            found = _read(spec)
        else:
            function = imported("--backbone", spec, source.folder)
            try:
                found = function() if callable(function) else function
            except (Exception, SystemExit) as error:  # whatever it does
                raise UserError(f"--backbone {spec} cannot be made: {one_line(error)}") from error
    if not isinstance(found, Backbone | keras.Model):
        raise UserError(
            f"--backbone {spec} is {type(found).__name__}, but must be, or return, a keras.Model "
            "or a models.backbones.Backbone."
        )
    for each in found.graph.models if isinstance(found, Backbone) else (found,):
        if getattr(each, "inputs", None):  # of others the graph says what is wrong
            loadable.check(each, f"--backbone {spec}")
    return replace(found, name=source.name) if isinstance(found, Backbone) else found


def _read(place: str) -> keras.Model:
    path = Path(fetch_file(place))
    if not path.is_file():
        raise UserError(f"--backbone {place}: there is no such file.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras, zipfile and h5py stumble over
        raise UserError(f"--backbone {place} cannot be read: {one_line(error)}") from error
