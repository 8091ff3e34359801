"""Which frontiers are worth their bytes."""

from dataclasses import replace

import pytest

from models import backbones, vgg16
from models.units import PICTURE
from tuning.features import FeatureCache, cost

BACKBONE = backbones.load("vgg16", 150, "random")


@pytest.mark.parametrize("size", [48, 64, 100, 150, 224, 299])
def test_block3_pool_and_above_are_stored(size):
    backbone = backbones.load("vgg16", size, "random")
    above = backbone.frontiers[backbone.order("block3_pool") :]
    assert cost.stored(backbone) == list(above)


def test_the_tables_figures_are_right():
    told = {
        "block1_conv1": 0.03,
        "block1_pool": 2.4,
        "block2_pool": 12.1,
        "block3_conv2": 9.5,
        "block3_pool": 49.8,
        "block4_conv1": 27.2,
        "block4_pool": 146,
        "block5_pool": 808,
    }
    for frontier, kiloflop in told.items():
        assert cost.spared(BACKBONE, frontier) / 1000 == pytest.approx(
            kiloflop, rel=0.02, abs=0.005
        )
        assert str(kiloflop) in cost.__doc__


def test_the_price_of_a_byte_moves_the_border():
    assert cost.stored(BACKBONE, worth=10)[0] == "block1_conv1"
    assert cost.stored(BACKBONE, worth=100_000)[0] == "block4_pool"
    assert cost.stored(BACKBONE, worth=1e9) == [vgg16.TOP]


def test_of_blocks_that_widen_inside_the_ends_are_stored(tmp_path):
    """What is cut inside a block begins at the end of the one below."""
    backbone = backbones.load("mobilenetv2", 224, "random")
    stored = cost.stored(backbone)
    assert stored[-1] == backbone.top
    widths = {each: backbone.shape(each)[-1] for each in backbone.frontiers}
    inside = [each for each in backbone.frontiers[1:-1] if widths[each] == 960]
    assert inside
    assert not set(inside) & set(stored)
    for each in inside:
        start = FeatureCache(tmp_path).start(backbone, each)
        assert start in stored
        assert 0 < backbone.flops(start, each) < 0.1 * backbone.flops(PICTURE, each)


@pytest.mark.parametrize("unfrozen", range(14))
def test_a_network_begins_where_it_is_cut_or_at_the_picture(tmp_path, unfrozen):
    cut = vgg16.frontier(unfrozen)
    start = FeatureCache(tmp_path).start(BACKBONE, cut)
    assert start == (cut if unfrozen <= 6 else PICTURE)


def test_quick_devices_compute_again_what_a_disk_would_take_longer_for():
    laptop, card = cost.Rates(forward=200e9, disk=500e6), cost.Rates(forward=300e12, disk=10e9)
    assert cost.worth(laptop) == cost.worth(None) == cost.SPACE
    at = [cost.stored(BACKBONE, cost.worth(each)) for each in (laptop, card)]
    assert (at[0][0], at[1][0]) == ("block3_pool", "block4_pool")
    # A disk, or a device, ten times slower.
    assert cost.stored(BACKBONE, cost.worth(replace(card, disk=1e9))) == [vgg16.TOP]
    assert cost.stored(BACKBONE, cost.worth(replace(card, forward=30e12)))[0] == "block3_pool"
    # A way into the device's memory that is as slow as a disk ten times slower.
    assert cost.stored(BACKBONE, cost.worth(replace(card, copied=50e9)))[0] == "block4_pool"
    assert cost.stored(BACKBONE, cost.worth(replace(card, copied=0.5e9))) == [vgg16.TOP]


def test_where_nothing_is_stored_a_network_begins_at_the_picture(tmp_path):
    """And so each of its epochs has a view of its own."""
    quick = FeatureCache(tmp_path, worth=cost.worth(cost.Rates(forward=300e12, disk=1e9)))
    assert quick.start(BACKBONE, vgg16.frontier(3)) == PICTURE
    assert quick.start(BACKBONE, vgg16.TOP) == vgg16.TOP
    assert FeatureCache(tmp_path).start(BACKBONE, vgg16.frontier(3)) == vgg16.frontier(3)
