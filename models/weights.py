"""Where VGG16's weights come from: ImageNet's through Keras, a file, or random numbers."""

from __future__ import annotations

import functools
import hashlib
import os
import textwrap
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.vgg16 import CONVS, LAYERS

# File and MD5 of keras.applications.VGG16(weights="imagenet", include_top=False).
IMAGENET_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5 = "6d6bbae143d832006294945121d1f1fc"
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{IMAGENET_FILE}"
# `Weights.checksum` of these weights, whatever file holds them.
IMAGENET = "320e3b7cd884662671f3b9c981c0b7d66b4cab7bf5ce3f82a388982b9002120c"
COMMON = 0.3  # share of each random kernel's mean that is taken away
SUFFIXES = (".h5", ".npz")


class WeightsError(Exception):
    """Weights that cannot be had or read: one line that says what, where and the ways out."""


@dataclass(frozen=True)
class Weights:
    """VGG16's convolution weights.

    Attributes:
        source: `imagenet`, `random` or the file they came from.
        arrays: float32 by name: `block1_conv1/kernel` (3, 3, in, out), `block1_conv1/bias` (out,).
        checksum: Hex SHA-256 over all arrays, so the same numbers have it whatever file holds them.
    """

    source: str
    arrays: Mapping[str, np.ndarray] = field(compare=False, repr=False)
    checksum: str


@functools.lru_cache(maxsize=2)
def load(source: str) -> Weights:
    """VGG16's weights without the top.

    Args:
        source: `imagenet` (Keras' own cache, or a download, checked by MD5), `random` (He normal
            with a fixed seed), or a file: `.h5` or `.weights.h5` as `save_weights` of Keras'
            VGG16(include_top=False) writes it, or `.npz` with arrays named
            `block1_conv1/kernel`, `block1_conv1/bias`, …

    Raises:
        WeightsError: If they cannot be had, or the file holds something else.
    """
    if source == "imagenet":
        arrays = _from_keras(_imagenet_file())
    elif source == "random":
        arrays = _random()
    else:
        arrays = _from_file(Path(source))
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name], dtype="<f4").tobytes())
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


def shapes() -> dict[str, tuple[int, ...]]:
    """Shape of every array by name."""
    found: dict[str, tuple[int, ...]] = {}
    channels = 3
    for layer in LAYERS:
        if layer.kind == "conv":
            found[f"{layer.name}/kernel"] = (3, 3, channels, layer.channels)
            found[f"{layer.name}/bias"] = (layer.channels,)
            channels = layer.channels
    return found


def _random() -> dict[str, np.ndarray]:
    # He et al. 2015 (https://arxiv.org/abs/1502.01852): keeps the scale of the activations through
    # thirteen ReLU layers, so that even random features carry the picture. NumPy's generator gives
    # the same numbers on every backend.
    generator = np.random.Generator(np.random.Philox(0))
    arrays = {}
    for name, shape in shapes().items():
        array = generator.standard_normal(shape)
        if name.endswith("bias"):
            array = np.zeros(shape)
        else:
            # What all pictures have in common grows from layer to layer, until a head sees nothing
            # else. On the demo's pictures heads reach 50 to 85 % without this, depending on whether
            # they standardise, 71 to 82 % with it; taken away whole, 65 to 68 %.
            array -= COMMON * array.mean((0, 1, 2))
            array *= np.sqrt(2 / np.prod(shape[:-1]))
        arrays[name] = array.astype(np.float32)
    return arrays


def imagenet_file() -> Path:
    """Where Keras keeps the ImageNet weights, or would put them."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / IMAGENET_FILE


def _imagenet_file() -> Path:
    import keras

    try:
        return Path(
            keras.utils.get_file(
                IMAGENET_FILE, IMAGENET_URL, cache_subdir="models", file_hash=IMAGENET_MD5
            )
        )
    except Exception as error:
        # Keras raises a bare Exception when a download fails, ValueError when the hash differs.
        raise WeightsError(
            f"ImageNet weights are neither in Keras' cache nor to be downloaded ({_brief(error)}): "
            f"put {IMAGENET_FILE} into {imagenet_file().parent}, or give a file with --weights "
            "PATH, or do without with --weights random."
        ) from error


def _brief(error: Exception) -> str:
    # Keras puts the address in front of why a download failed, and whole arrays behind the rest.
    reason = str(error).rsplit(" -- ", 1)[-1]
    for tail in (" Example error", " Target variable"):
        reason = reason.split(tail, 1)[0]
    return textwrap.shorten(reason, 160, placeholder="…").rstrip(".") or type(error).__name__


def _from_file(path: Path) -> dict[str, np.ndarray]:
    check(str(path))
    arrays = _from_npz(path) if path.suffix == ".npz" else _from_keras(path)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsError(
                f"The weights file {path} holds numbers that are not finite, in {name}."
            )
    return arrays


def _from_npz(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"The weights file {path} is no NumPy archive, or not all of one.")
    arrays = {}
    with np.load(path, allow_pickle=False) as file:
        for name, shape in shapes().items():
            if name not in file:
                raise WeightsError(f"The weights file {path} has no array {name!r}.")
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


def _from_keras(path: Path) -> dict[str, np.ndarray]:
    # Keras reads its own formats, old and new; a model of its own is the safest reader.
    import keras

    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.load_weights(path)
    except Exception as error:
        # Whatever h5py or Keras stumble over, the user's way out is the same.
        raise WeightsError(
            f"The weights file {path} does not hold VGG16 without its top ({_brief(error)})."
        ) from error
    arrays = {}
    for name in CONVS:
        kernel, bias = model.get_layer(name).get_weights()
        arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = kernel, bias
    return arrays
