"""What is built in the context draws nothing; all else draws as it did."""

import threading

import keras
import numpy as np

from models.undrawn import undrawn


def kernel(initializer: str = "glorot_uniform") -> np.ndarray:
    layer = keras.layers.Dense(3, kernel_initializer=initializer)
    layer.build((None, 4))
    return np.asarray(layer.get_weights()[0])


def test_a_layer_begins_with_zeros_and_keeps_its_initializer():
    with undrawn():
        layer = keras.layers.Conv2D(2, 3)
        layer.build((None, 8, 8, 3))
        assert not kernel("he_normal").any()
        with undrawn():
            assert not kernel("truncated_normal").any()
        assert not kernel("random_normal").any()
    assert not any(each.any() for each in layer.get_weights())
    assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
    assert kernel().any()


def test_another_thread_draws_whichever_ends_first():
    entered, left = threading.Event(), threading.Event()
    found = {}

    def other() -> None:
        found["before"] = kernel()
        with undrawn():
            entered.set()
            left.wait(60)
            found["inside"] = kernel()
        found["after"] = kernel()

    thread = threading.Thread(target=other)
    with undrawn():
        thread.start()
        entered.wait(60)
    assert kernel().any()  # while the other is still inside
    left.set()
    thread.join()
    assert found["before"].any()
    assert not found["inside"].any()
    assert found["after"].any()
    assert kernel().any()


def test_what_is_drawn_is_what_it_was():
    seeded = keras.initializers.GlorotUniform(seed=3)
    before = np.asarray(seeded((4, 3)))
    with undrawn():
        assert not np.asarray(seeded((4, 3))).any()
    np.testing.assert_array_equal(np.asarray(seeded((4, 3))), before)
