"""Which networks, and whose weights, the user meant."""

import pytest

from tuning.errors import UserError
from tuning.options import Options
from tuning.run import backbones


def sources(*weights, backbone=("vgg16",)):
    options = Options(data="photos", backbone=backbone, weights=weights)
    return {each.name: each.weights for each in backbones.sources(options, options.backbone)}


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).touch()
    return tmp_path


def test_names_are_short_and_one_may_be_left_out(file):
    assert sources() == {"vgg16": "imagenet"}
    assert sources("random") == {"vgg16": "random"}
    assert sources("VGG-16=a.npz") == {"vgg16": str(file / "a.npz")}
    both = ("EfficientNetV2-B0", "mine.networks:lite0")
    assert sources(backbone=both) == {"efficientnetv2b0": "imagenet", "lite0": "own"}
    assert sources("a.npz", "lite0=b.npz", backbone=both) == {
        "efficientnetv2b0": str(file / "a.npz"),
        "lite0": str(file / "b.npz"),
    }
    assert sources("efficientnetv2-b0=random", "b.npz", backbone=both) == {
        "efficientnetv2b0": "random",
        "lite0": str(file / "b.npz"),
    }
    assert sources(backbone=("my network.keras",)) == {"my_network": "own"}


@pytest.mark.parametrize(
    ("weights", "backbone", "told"),
    [
        (("lite1=a.npz",), ("m:lite0",), "there is no backbone lite1, but lite0"),
        (("a.npz", "b.npz"), ("vgg16",), "say of which backbone, as in --weights vgg16="),
        (("vgg16=a.npz", "b.npz"), ("vgg16",), "say of which backbone"),
        (("nowhere.npz",), ("vgg16",), "No such weights file"),
        ((), ("m:net", "n:net"), "two networks are called net"),
        ((), ("m:convnet",), "two networks are called convnet"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_line(weights, backbone, told):
    with pytest.raises(UserError, match=told) as error:
        sources(*weights, backbone=backbone)
    assert "\n" not in str(error.value)


def test_vgg16_comes_along_for_the_articles_experiments_where_its_weights_are_at_hand(
    file, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(file))

    def along(*weights, **more):
        options = Options(data="photos", backbone="m:lite0", weights=weights, **more)
        found = backbones.beside(options, backbones.sources(options, options.backbone))
        return [(each.name, each.weights) for each in found]

    assert along() == []
    assert along("vgg16=a.npz") == [("vgg16", str(file / "a.npz"))]
    assert along("vgg16=a.npz", no_experiments=True) == []
    kept = file / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    kept.parent.mkdir()
    kept.touch()
    assert along() == [("vgg16", "imagenet")]


def test_the_size_of_pictures_is_decided_by_the_network():
    assert Options(data="photos").image_size == 150
    assert Options(data="photos", backbone="xception").image_size is None
    assert Options(data="photos", backbone="xception", image_size=96).image_size == 96
    assert Options(backbone="xception").image_size == 64  # the demo's


def test_the_demo_takes_random_weights_for_those_that_cannot_be_had_and_no_other_network(
    file, monkeypatch, caplog
):
    monkeypatch.setenv("KERAS_HOME", str(file))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("no_proxy", "")
    options = Options(backbone="vgg16")
    (source,) = backbones.sources(options, options.backbone)
    assert backbones.loaded(options, source, 32)[0].weights == "random"
    assert "goes on with random weights" in caplog.text
    caplog.clear()
    options = Options(backbone="vgg61")
    (source,) = backbones.sources(options, options.backbone)
    with pytest.raises(UserError, match="the nearest is VGG1"):
        backbones.loaded(options, source, 32)
    assert "random" not in caplog.text
