"""Networks are cut where one tensor alone separates what comes before from what comes after."""

import re

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import backbones, vgg16
from models.graph import Graph, GraphError
from models.units import PICTURE

pytestmark = pytest.mark.slow

# Graphs are Keras' own, whatever computes; networks take JAX a minute, operation by operation.
once = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="seen with TensorFlow")
CHANNELS = 4
NETWORKS = {
    "VGG16": 13,
    "ResNet50V2": 17,
    "MobileNetV2": 32,
    "EfficientNetV2B0": 34,
    "ConvNeXtTiny": 22,
    "Xception": 16,  # two convolutions, twelve modules with a skip, two separable convolutions
    "DenseNet121": 62,
    "MobileNetV3Small": 26,
}
IN_EVERY_RUN = ("VGG16", "MobileNetV3Small", "ConvNeXtTiny")


def conv(size=1):
    return keras.layers.Conv2D(CHANNELS, size, padding="same", activation="tanh")


def nested(depth):
    """A model inside the model, with a skip of its own and perhaps another inside."""
    inputs = keras.Input((4, 4, CHANNELS))
    x = keras.layers.Add()([inputs, conv()(inputs)])
    return keras.Model(inputs, nested(depth - 1)(x) if depth else x)


def shared(x):
    layer = conv()
    return layer(layer(x))


def branches(x):
    return keras.layers.Concatenate()([conv()(x), conv(3)(x)])


PIECES = {
    "conv": lambda x: conv(3)(x),
    "skip": lambda x: (
        keras.layers.Add()([x, conv()(x)])
        if x.shape[-1] == CHANNELS
        else keras.layers.Concatenate()([x, conv()(x)])
    ),
    "branches": branches,
    "shared": lambda x: shared(conv()(x)),
    "nested": lambda x: nested(1)(conv()(x)),
    "sequential": lambda x: keras.Sequential([conv(), keras.layers.ReLU()])(x),
    "activation": lambda x: keras.layers.ReLU()(x),
    "arithmetic": lambda x: x * 0.5 + keras.ops.tanh(x),
    "normalised": lambda x: keras.layers.BatchNormalization()(x),
}


def built(pieces, jump):
    """A network of these pieces; with `jump` the first one's output is needed at the end too."""
    inputs = keras.Input((4, 4, 3))
    x = first = conv()(keras.layers.Rescaling(1 / 255)(inputs))
    for each in pieces:
        x = PIECES[each](x)
    return keras.Model(inputs, keras.layers.Concatenate()([x, first]) if jump else x)


def separating(graph):
    """Outputs of steps without which nothing gets from the picture to the top; by brute force.

    But those before and after which the same layer is called.
    """
    found = []
    for number, cut in ((n, t) for n, step in enumerate(graph.steps) for t in step.outputs):
        called = [{id(s.operation) for s in side if s.kernels}
                  for side in (graph.steps[: number + 1], graph.steps[number + 1 :])]  # fmt: skip
        if called[0] & called[1]:
            continue
        reached = {id(graph._picture)}
        for step in graph.steps:
            if any(id(each) in reached for each in step.inputs):
                reached |= {id(each) for each in step.outputs if each is not cut}
        if id(graph._output) not in reached:
            found.append(id(cut))
    return found


def assert_halves_make_the_whole(model, size, step=1):
    backbone = backbones.of_model(model, "own", image_size=size)
    pictures = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    whole = np.asarray(model(pictures, training=False))
    for frontier in backbone.frontiers[1:-1:step]:
        prefix = backbone.section(PICTURE, frontier)
        suffix = backbone.section(frontier, backbone.top, trainable=True)
        said = np.asarray(suffix(prefix(pictures, training=False), training=False))
        np.testing.assert_allclose(said, whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())


@once
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=5), st.booleans())
def test_of_any_network_both_halves_make_the_whole(pieces, jump):
    keras.utils.set_random_seed(0)
    model = built(pieces, jump)
    graph = Graph(model)
    assert not any(isinstance(step.operation, keras.Model) for step in graph.steps)
    alone = separating(graph)
    ends = {id(graph._tensors[name]) for name in graph.frontiers[1:]}
    assert ends <= set(alone)
    assert graph.frontiers[0] == PICTURE
    assert id(graph._tensors[graph.frontiers[-1]]) == id(graph._output)
    # Every unit has something to train, and none that could be divided was not.
    assert all(unit.parameters for unit in graph.units)
    stretches = 0
    since = False  # whether there was a kernel since the last separating tensor
    for step in graph.steps:
        since = since or bool(step.kernels)
        if any(id(each) in alone for each in step.outputs) and since:
            stretches, since = stretches + 1, False
    assert len(graph.units) == stretches
    assert_halves_make_the_whole(model, 4)


def test_the_cuts_of_vgg16_are_those_of_its_table():
    graph = Graph(backbones.build("vgg16", 64))
    cuts = [vgg16.frontier(unfrozen) for unfrozen in range(13, -1, -1)]
    assert list(graph.frontiers) == cuts
    for frontier in cuts:
        assert graph.shape(frontier) == vgg16.output_shape(frontier, 64)
        assert graph.flops(PICTURE, frontier) == vgg16.flops(PICTURE, frontier, 64)
    assert len(graph.units) == 13
    assert sum(unit.parameters for unit in graph.units) == 14_714_688


@once
@pytest.mark.parametrize(
    ("name", "few"),
    [
        *((name, True) for name in IN_EVERY_RUN),
        *(pytest.param(name, False, marks=pytest.mark.soak) for name in NETWORKS),
    ],
)
def test_known_networks_may_be_cut_at_every_frontier(name, few):
    """At some of them in every run."""
    keras.utils.set_random_seed(0)
    size = 71 if name == "Xception" else 64
    model = backbones.build(name, size)
    graph = Graph(model)
    assert len(graph.units) == NETWORKS[name]
    assert sum(unit.parameters for unit in graph.units) == model.count_params()
    preprocessing = (keras.layers.Rescaling, keras.layers.Normalization)
    # The first frontier has behind it all that any of them has.
    behind = graph.section(graph.frontiers[1], graph.frontiers[-1]).layers
    assert not any(isinstance(each, preprocessing) for each in behind)
    assert_halves_make_the_whole(model, size, len(graph.units) // 3 if few else 1)


def test_operations_are_counted_where_kernels_are_applied():
    inputs = keras.Input((8, 8, 6))
    x = keras.layers.Conv2D(10, 3, strides=2, padding="same", groups=2)(inputs)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Dense(7)(x)
    graph = Graph(keras.Model(inputs, x))
    counted = [unit.flops for unit in graph.units]
    assert counted == [2 * 9 * 3 * 10 * 16, 2 * 9 * 10 * 16, 2 * 10 * 7 * 16]


def test_what_cannot_be_cut_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(GraphError, match="no functional model"):
        Graph(Own(name="own"))
    one, other = keras.Input((4, 4, 3)), keras.Input((4, 4, 3))
    with pytest.raises(GraphError, match="2 inputs"):
        Graph(keras.Model([one, other], one + other))
    with pytest.raises(GraphError, match="2 outputs"):
        Graph(keras.Model(one, [one + 1, one + 2]))
    with pytest.raises(GraphError, match="no layer with a kernel"):
        Graph(keras.Model(one, one + 1)).frontiers  # noqa: B018
    graph = Graph(keras.Model(one, conv()(conv()(one))))
    with pytest.raises(GraphError, match="lies behind"):
        graph.section(graph.frontiers[1], PICTURE)


@pytest.mark.parametrize("name", ["mobilenet-v2", "MobileNetV2", "MOBILENET_V2"])
def test_a_network_is_found_however_it_is_written(name):
    assert backbones.find(name) == "MobileNetV2"


def test_the_nearest_name_is_told():
    with pytest.raises(backbones.UnknownNetwork, match="the nearest is EfficientNetV2B0"):
        backbones.find("efficientnetv2-b00")


def test_the_command_prints_where_a_network_can_be_cut(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["backbones", "vgg-16", "--image-size", "64"])
    backbones.main()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"block4_pool +4 x 4 x 512 +2,359,808 +[\d,.]+ +16.0 +3", lines[12])
    assert "14,714,688" in lines[-1]
    monkeypatch.setattr("sys.argv", ["backbones", "vgg-16", "--image-size", "16"])
    with pytest.raises(SystemExit, match="2"):
        backbones.main()
    assert "at least 32x32" in capsys.readouterr().err
