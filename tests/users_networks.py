"""What a user may have: networks of their own, and HyperModels on their features."""

import keras
import keras_tuner

from models.backbones import of_model

SIZE = 48


def network():
    """A small network whose dropout, normalisation and names are Keras' own."""
    inputs = keras.Input((None, None, 3))
    x = _conv(8, 1, strides=2, activation="relu")(inputs)
    x = x + keras.layers.Dropout(0.3)(_conv(8, 2)(x))
    x = _conv(12, 3, strides=2, activation="relu")(x)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(x))
    model.preprocessing = keras.layers.Rescaling(1 / 255)
    model.image_size = SIZE
    return model


def _conv(channels, seed, **more):
    drawn = keras.initializers.HeNormal(seed=seed)
    return keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer=drawn, **more)


def restless():
    """A network that is another one in each process."""
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=4)(inputs))


def blind():
    """A network that sees next to nothing: one number of each picture."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(1, 1, kernel_initializer="zeros")(inputs)
    return keras.Model(inputs, keras.layers.MaxPooling2D(4)(x))


def backbone():
    """A network with all that is to be said of it."""
    return of_model(network(), "anything", image_size=32, preprocessing=network().preprocessing)


def number():
    """No network."""
    return 3


def broken():
    """None either."""
    raise ZeroDivisionError("no network today")


class OnFeatures(keras_tuner.HyperModel):
    """A head of any width on frozen features."""

    backbone = "users_networks:network"

    def __init__(self, input_shape, classes):
        super().__init__()
        self.input_shape, self.classes = input_shape, classes

    def build(self, hp):
        """The head, compiled."""
        inputs = keras.Input(self.input_shape)
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        x = keras.layers.Dense(hp.Int("units", 4, 16, step=4), activation="relu")(x)
        x = keras.layers.Dense(self.classes, activation="softmax")(x)
        model = keras.Model(inputs, x)
        rate = hp.Float("rate", 1e-3, 1e-1, sampling="log", default=1e-2)
        model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
        return model


class OnNothing(OnFeatures):
    """Its backbone is no name."""

    backbone = 3
