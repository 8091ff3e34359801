"""HyperModels for tests: one whose trials fail in turn, one that always fails alike."""

import keras
import keras_tuner


def network(rate):
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


class Moody(keras_tuner.HyperModel):
    """Cannot be built with one mood, runs out of memory with another, diverges with a third."""

    def build(self, hp):
        with hp.name_scope("today"):
            mood = hp.Choice("mood", ["good", "broken", "greedy", "wild"])
        if mood == "broken":
            raise ValueError("no layer is 3 wide")
        if mood == "greedy":
            keras.ops.zeros((2**21, 2**21))  # 16 TiB
        return network(float("inf") if mood == "wild" else 0.1)


class Hopeless(keras_tuner.HyperModel):
    """Is built for its default alone."""

    def build(self, hp):
        size = hp.Int("size", 1, 100)
        if size > 1:
            raise ValueError(f"a kernel of {size} does not fit")
        return network(0.1)
