"""Where in a picture a network found the class that it says.

Grad-CAM (Selvaraju et al., ICCV 2017, https://arxiv.org/abs/1610.02391) on what the head takes,
with gradients taken place by place, as in HiResCAM (Draelos and Carin, 2020,
https://arxiv.org/abs/2011.08891): for heads that average over all places both are the same, and
for the article's, which has weights for each place, only this shows what it went by.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from PIL import Image, ImageOps

from models.network import last_layer
from models.units import FEATURES

COLD, WARM, HOT = "#0d0887", "#cc4778", "#f0f921"
OPAQUE = 0.5  # how much of them covers a picture


class HeatMaps:
    """Draws them for one network. One thread at a time.

    Args:
        model: A whole network, see `can`; it is not to be trained afterwards.
    """

    def __init__(self, model: keras.Model) -> None:
        features, said = model.get_layer(FEATURES).output, model.outputs[0]
        self._features = keras.Model(model.inputs, features)
        head = keras.Model(features, said)
        head.trainable = False
        last = last_layer(model)
        assert last is not None
        self._last = last
        self._nudged = _Nudged(head)
        # Keras has no gradients of its own, but a step of SGD at rate 1 from zero is one, with
        # either backend. Compiling it would take longer than a dozen pictures.
        self._nudged.compile(optimizer=keras.optimizers.SGD(1.0), loss=_less, run_eagerly=True)

    @staticmethod
    def can(model: keras.Model) -> bool:
        """Whether this network's heat can be shown: it says what its head takes, over places."""
        known = [each for each in model.layers if each.name == FEATURES]
        return bool(known) and len(known[0].output.shape) == 4 and last_layer(model) is not None

    def heat(self, picture: np.ndarray, label: int) -> np.ndarray:
        """How much each place speaks for a class: (h, w) in 0..1; all 0 where none does.

        Args:
            picture: uint8 (S, S, 3).
            label: The number of the class.
        """
        features = np.asarray(self._features.predict_on_batch(picture[None]))
        units = self._last.units
        sought = np.zeros((1, units), np.float32)
        sought[0, 0 if units == 1 else label] = 1 if units > 1 or label else -1
        with self._of_logits():
            self._nudged.amount.assign(np.zeros(features.shape))
            self._nudged.train_on_batch(features, sought)
        gradients = keras.ops.convert_to_numpy(self._nudged.amount)
        spoken = np.maximum((gradients * features)[0].sum(axis=-1), 0)
        heat: np.ndarray = spoken / max(float(spoken.max()), 1e-12)
        return heat

    def drawn(self, picture: np.ndarray, label: int) -> np.ndarray:
        """A picture with its heat over it, uint8 (S, S, 3); arguments as for `heat`."""
        heat = Image.fromarray((self.heat(picture, label) * 255).astype(np.uint8))
        size = picture.shape[1], picture.shape[0]
        smooth = heat.resize(size, Image.Resampling.BICUBIC)
        coloured = ImageOps.colorize(smooth, black=COLD, mid=WARM, white=HOT)
        return np.asarray(Image.blend(Image.fromarray(picture), coloured, OPAQUE))

    @contextmanager
    def _of_logits(self) -> Iterator[None]:
        """The head ends in logits: what a sure probability changes by is lost in rounding."""
        activation, self._last.activation = self._last.activation, keras.activations.linear
        try:
            yield
        finally:
            self._last.activation = activation


class _Nudged(keras.Model):  # type: ignore[misc]
    """A head with a variable, which is zero, added to what it takes."""

    def __init__(self, head: keras.Model) -> None:
        super().__init__()
        self.head = head
        shape = (1, *head.input_shape[1:])
        self.amount = self.add_weight(shape=shape, initializer="zeros")

    def call(self, features: Any) -> Any:
        return self.head(features + self.amount, training=False)  # without dropout


def _less(sought: Any, said: Any) -> Any:
    return -keras.ops.sum(sought * said, axis=-1)
