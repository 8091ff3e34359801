"""HyperModels for tests: one is sound, one's trials fail in turn, one always fails alike."""

import keras
import keras_tuner


class Greedy(keras.layers.Layer):
    """Wants 16 TiB when it is used, not when it is built."""

    def call(self, inputs):
        return inputs + keras.ops.sum(keras.ops.zeros((2**21, 2**21)))


class Faulty(keras.layers.Layer):
    """Has a fault that shows when it is trained."""

    def call(self, inputs, training=False):
        return inputs * (1 / (1 - bool(training)))


def network(rate, first=None):
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            first or keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


class Sound(keras_tuner.HyperModel):
    """Has a rate to tune."""

    def build(self, hp):
        return network(hp.Float("rate", 1e-4, 1e-1, sampling="log"))


class Moody(keras_tuner.HyperModel):
    """Cannot be built with one mood, runs out of memory with another, diverges with a third.

    With a fourth it has a fault of its own.
    """

    def build(self, hp):
        with hp.name_scope("today"):
            mood = hp.Choice("mood", ["good", "broken", "greedy", "wild", "faulty"])
        if mood == "broken":
            raise ValueError("no layer is 3 wide")
        if mood == "greedy":
            return network(0.1, Greedy())
        if mood == "faulty":
            return network(0.1, Faulty())
        return network(float("inf") if mood == "wild" else 0.1)


class Hopeless(keras_tuner.HyperModel):
    """Is built for its default alone."""

    def build(self, hp):
        size = hp.Int("size", 1, 100)
        if size > 1:
            raise ValueError(f"a kernel of {size} does not fit")
        return network(0.1)
