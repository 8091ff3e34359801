"""Where a network's weights come from: ImageNet's through Keras, a file, or random numbers."""

from __future__ import annotations

import hashlib
import os
import re
import textwrap
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# File of keras.applications.VGG16(weights="imagenet", include_top=False).
IMAGENET_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
# `Weights.checksum` of these weights, whatever file holds them.
IMAGENET = "320e3b7cd884662671f3b9c981c0b7d66b4cab7bf5ce3f82a388982b9002120c"
COMMON = 0.3  # share of each random kernel's mean that is taken away
SUFFIXES = (".h5", ".npz")


class WeightsError(Exception):
    """Weights that cannot be had or read: one line that says what, where and the ways out."""


@dataclass(frozen=True)
class Weights:
    """A network's weights.

    Attributes:
        source: `imagenet`, `random`, `own` or the file they came from.
        arrays: By layer and variable: `block1_conv1/kernel` (3, 3, in, out), …
        checksum: Hex SHA-256 over all arrays, so the same numbers have it whatever file holds them.
    """

    source: str
    arrays: Mapping[str, np.ndarray] = field(compare=False, repr=False)
    checksum: str


@dataclass(frozen=True)
class Network:
    """What weights are of.

    Attributes:
        name: The name that it has in `--weights NAME=SOURCE`.
        title: The name as people read it.
        model: The model, for files that Keras wrote.
        layers: Its layers with weights, by name.
    """

    name: str
    title: str
    model: keras.Model
    layers: Mapping[str, keras.layers.Layer]

    def variables(self) -> Iterator[tuple[str, Any, Any]]:
        """Name, layer and variable of each array, in the order of the layers."""
        for layer_name, layer in self.layers.items():
            for name, variable in zip(names(layer_name, layer), layer.weights, strict=True):
                yield name, layer, variable


def names(layer_name: str, layer: keras.layers.Layer) -> list[str]:
    """The names of a layer's arrays, in the order of its weights."""
    found: list[str] = []
    for variable in layer.weights:
        parts = variable.path.split("/")
        # What stands in the path before the layer's own name depends on where it was built.
        within = parts[len(parts) - parts[::-1].index(layer.name) :] if layer.name in parts else []
        # What has no name of its own Keras counts in a process.
        own = [re.sub(r"_\d+$", "", part) for part in within or parts[-1:]]
        name = "/".join([layer_name, *own])
        found.append(name if name not in found else f"{name}_{len(found)}")
    return found


def load(source: str, network: Network) -> Weights:
    """A network's weights without the top.

    Args:
        source: `imagenet` or `own` (those that the model has), `random` (He normal with a fixed
            seed), or a file: `.h5` or `.weights.h5` as `save_weights` writes it, or `.npz` with
            arrays by name.
        network: The network.

    Raises:
        WeightsError: If they cannot be had, or the file holds something else.
    """
    if source == "random":
        arrays = _random(network)
    elif source in ("imagenet", "own"):
        arrays = _of(network)
    else:
        arrays = _from_file(Path(source), network)
    return of_arrays(source, arrays)


def of_arrays(source: str, arrays: Mapping[str, np.ndarray]) -> Weights:
    """Weights with their checksum."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        array = np.ascontiguousarray(arrays[name])
        digest.update(array.astype("<f4", copy=False).tobytes())
    return Weights(source, arrays, digest.hexdigest())


def check(source: str) -> None:
    """Sees at once, without reading it, whether `source` can be what `load` takes.

    Raises:
        WeightsError: If it is neither a known name nor a file with a known ending.
    """
    path = Path(source)
    if source in ("imagenet", "random"):
        return
    if not path.is_file():
        raise WeightsError(f"No such weights file: {path}. Give imagenet, random or a path.")
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"The weights file {path} must end in one of {', '.join(SUFFIXES)}.")


def _of(network: Network) -> dict[str, np.ndarray]:
    import keras

    return {
        name: np.array(keras.ops.convert_to_numpy(variable))
        for name, _, variable in network.variables()
    }


def _random(network: Network) -> dict[str, np.ndarray]:
    # He et al. 2015 (https://arxiv.org/abs/1502.01852): keeps the scale of the activations through
    # thirteen ReLU layers, so that even random features carry the picture. NumPy's generator gives
    # the same numbers on every backend.
    import keras

    generator = np.random.Generator(np.random.Philox(0))
    arrays = {}
    for name, layer, variable in network.variables():
        shape = tuple(variable.shape)
        array = generator.standard_normal(shape)
        if len(shape) < 2:
            array = np.array(keras.ops.convert_to_numpy(variable))  # as Keras begins with it
        else:
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D) or "depthwise" in name
            ways_in = tuple(range(len(shape) - (2 if depthwise else 1)))
            # What all pictures have in common grows from layer to layer, until a head sees nothing
            # else. On the demo's pictures heads reach 50 to 85 % without this, depending on whether
            # they standardise, 71 to 82 % with it; taken away whole, 65 to 68 %.
            array -= COMMON * array.mean(ways_in)
            array *= np.sqrt(2 / np.prod([shape[axis] for axis in ways_in]))
        arrays[name] = array.astype(np.float32)
    return arrays


def imagenet_file() -> Path:
    """Where Keras keeps the ImageNet weights, or would put them."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / IMAGENET_FILE


def unavailable(name: str, title: str, error: Exception) -> WeightsError:
    """What to do where Keras cannot have ImageNet weights.

    Args:
        name: The network's name in `--weights`.
        title: Its name as people read it.
        error: What Keras raised: a bare Exception when a download fails, ValueError when the hash
            differs.
    """
    file = re.search(r"https?://\S+/(\S+?\.h5)", str(error))
    put = f"put {file[1]} into {imagenet_file().parent}, or " if file else ""
    return WeightsError(
        f"ImageNet weights of {title} are neither in Keras' cache nor to be downloaded "
        f"({_brief(error)}): {put}give a file with --weights {name}=PATH, or do without with "
        f"--weights {name}=random."
    )


def _brief(error: Exception) -> str:
    # Keras puts the address in front of why a download failed, and whole arrays behind the rest.
    reason = str(error).rsplit(" -- ", 1)[-1]
    for tail in (" Example error", " Target variable"):
        reason = reason.split(tail, 1)[0]
    return textwrap.shorten(reason, 160, placeholder="…").rstrip(".") or type(error).__name__


def _from_file(path: Path, network: Network) -> dict[str, np.ndarray]:
    check(str(path))
    arrays = _from_npz(path, network) if path.suffix == ".npz" else _from_keras(path, network)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsError(
                f"The weights file {path} holds numbers that are not finite, in {name}."
            )
    return arrays


def _from_npz(path: Path, network: Network) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"The weights file {path} is no NumPy archive, or not all of one.")
    arrays = {}
    with np.load(path, allow_pickle=False) as file:
        for name, _, variable in network.variables():
            shape = tuple(variable.shape)
            if name not in file:
                raise WeightsError(
                    f"The weights file {path} has no array {name!r}, so it is not of "
                    f"{network.title}."
                )
            try:
                array = file[name]
                if array.shape == shape:
                    arrays[name] = array.astype(np.float32)
                    continue
            except Exception as error:
                # zipfile, zlib and NumPy have a dozen ways to say that bytes are damaged.
                raise WeightsError(
                    f"In the weights file {path}, {name} cannot be read ({_brief(error)})."
                ) from error
            raise WeightsError(
                f"In the weights file {path}, {name} has shape {array.shape}, "
                f"but must have {shape}."
            )
    return arrays


def _from_keras(path: Path, network: Network) -> dict[str, np.ndarray]:
    # Keras reads its own formats, old and new; a model of its own is the safest reader.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.model.load_weights(path)
    except Exception as error:
        # Whatever h5py or Keras stumble over, the user's way out is the same.
        raise WeightsError(
            f"The weights file {path} does not hold {network.title} without its top "
            f"({_brief(error)})."
        ) from error
    return _of(network)
