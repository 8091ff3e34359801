"""What a picture looks like under a view, and that nothing else has a say in it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import apply_affine_transform
from PIL import Image
from scipy import stats

from models.augmentation import GREY, LUMA, POLICIES, TRANSFORMS, Augment, augment, draw

ROOT = Path(__file__).resolve().parents[2]
SIZE = 75
COLOURLESS = ("none", "flip", "article")
HOLES = [[56, 6, 91, 49], [38, 33, 82, 79]]


@pytest.fixture(scope="module")
def pictures(photos):
    files = [
        f for kind in ("cats", "dogs") for f in sorted((photos / "train" / kind).iterdir())[:8]
    ]
    resized = [np.asarray(Image.open(f).convert("RGB").resize((SIZE, SIZE))) for f in files]
    return np.stack(resized)


@pytest.fixture(scope="module")
def digests(pictures):
    return _digests([picture.tobytes() for picture in pictures])


def _digests(contents):
    blocks = [hashlib.blake2b(content, digest_size=16).digest() for content in contents]
    return np.frombuffer(b"".join(blocks), np.uint8).reshape(-1, 16)


MANY = _digests([str(n).encode() for n in range(4000)])


def _transforms():
    return [keras.Input((numbers,)) for numbers in TRANSFORMS.values()]


def parameters(policy, view=0, digests=MANY, size=SIZE):
    """Rotation, shear (degrees), zooms, shifts (share of the side), mirror, from the matrices."""
    affine, colour, _ = draw(policy, view, digests, size)
    matrix = np.concatenate([affine, np.ones((len(affine), 1))], axis=1).reshape(-1, 3, 3)
    linear, offset = matrix[:, :2, :2].astype(np.float64), matrix[:, :2, 2]
    mirror = np.sign(linear[:, 0, 0])  # no policy rotates by 90 degrees
    first = linear[:, :, 0] * mirror[:, None]
    theta = np.arctan2(first[:, 1], first[:, 0])
    c, s = np.cos(theta), np.sin(theta)
    back = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], axis=1)  # (N, 2, 2)
    rest = back @ linear
    centre = np.full(2, (size - 1) / 2)
    shift = np.einsum("nij,nj->ni", back, linear @ centre + offset - centre)
    return {
        "rotation": np.rad2deg(theta),
        "shear": np.rad2deg(np.arctan2(-rest[:, 0, 1], rest[:, 1, 1])),
        "zoom_x": np.hypot(first[:, 0], first[:, 1]),
        "zoom_y": np.hypot(rest[:, 0, 1], rest[:, 1, 1]),
        "shift_x": shift[:, 0] / size,
        "shift_y": shift[:, 1] / size,
        "mirror": mirror,
        "brightness": colour[:, 0] / 255,
        "contrast": colour[:, 1],
        "saturation": colour[:, 2],
    }


@pytest.mark.parametrize("policy", POLICIES)
def test_is_what_image_data_generator_did(policy, pictures, digests):
    p = parameters(policy, 2, digests)
    if policy == "article":
        assert np.abs(p["shear"]).max() > 0.05
    wanted, holes = [], draw(policy, 2, digests, SIZE).hole
    assert holes.any() == (policy == "erase")
    for n, picture in enumerate(pictures.astype(np.float64)):
        # Rows before columns: its x is our column.
        x = apply_affine_transform(
            picture,
            theta=p["rotation"][n],
            tx=p["shift_x"][n] * SIZE,
            ty=p["shift_y"][n] * SIZE,
            shear=p["shear"][n],
            zx=p["zoom_x"][n],
            zy=p["zoom_y"][n],
            row_axis=0,
            col_axis=1,
            channel_axis=2,
            fill_mode="nearest",
        )
        # As there, the flip is the last step.
        x = x[:, ::-1] if p["mirror"][n] < 0 else x
        grey = (x * LUMA).sum(-1, keepdims=True)
        x = grey + p["saturation"][n] * (x - grey)
        x = np.clip(127.5 + p["contrast"][n] * (x - 127.5) + 255 * p["brightness"][n], 0, 255)
        left, top, right, bottom = holes[n].astype(int)
        x[top:bottom, left:right] = GREY
        wanted.append(x)
    found = augment(pictures, policy, 2, digests)
    assert found.dtype == np.float32
    assert found.shape == pictures.shape
    assert np.abs(found - np.stack(wanted)).max() < 0.05


def test_the_articles_policy_means_degrees():
    p = parameters("article")
    assert np.abs(p["shear"]).max() <= 0.2
    assert p["zoom_x"].min() >= 0.8
    assert p["zoom_x"].max() <= 1.2
    assert np.corrcoef(p["zoom_x"], p["zoom_y"])[0, 1] == pytest.approx(0, abs=0.06)


def test_none_is_the_picture(pictures, digests):
    np.testing.assert_array_equal(augment(pictures, "none", 5, digests), pictures)


def test_flip_mirrors_half(pictures, digests):
    found = augment(pictures, "flip", 1, digests)
    mirrored = [np.array_equal(f, p[:, ::-1]) for f, p in zip(found, pictures, strict=True)]
    kept = [np.array_equal(f, p) for f, p in zip(found, pictures, strict=True)]
    assert np.array_equal(mirrored, np.logical_not(kept))
    assert 0 < sum(mirrored) < len(pictures)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("view", [0, 7])
def test_draws_fill_their_ranges_evenly(policy, view):
    ranges, p = POLICIES[policy], parameters(policy, view)
    for name, low, high in [
        ("rotation", -ranges.rotation, ranges.rotation),
        ("shear", -ranges.shear, ranges.shear),
        ("zoom_x", 1 - ranges.zoom, 1 + ranges.zoom),
        ("zoom_y", 1 - ranges.zoom, 1 + ranges.zoom),
        ("shift_x", -ranges.shift, ranges.shift),
        ("shift_y", -ranges.shift, ranges.shift),
        ("brightness", -ranges.brightness, ranges.brightness),
        ("contrast", 1 - ranges.contrast, 1 + ranges.contrast),
        ("saturation", 1 - ranges.saturation, 1 + ranges.saturation),
    ]:
        if ranges.crop and name[:4] in ("zoom", "shif"):
            continue
        if low == high:
            np.testing.assert_allclose(p[name], low, atol=1e-5, err_msg=name)
            continue
        assert p[name].min() >= low - 1e-4, name
        assert p[name].max() <= high + 1e-4, name
        fit = stats.kstest(p[name], stats.uniform(low, high - low).cdf)
        assert fit.pvalue > 1e-3, name
    mirrored = (p["mirror"] < 0).mean()
    if ranges.alternate:
        assert mirrored == view % 2
    else:
        assert mirrored == (pytest.approx(0.5, abs=0.03) if ranges.flip else 0)


def test_mirror_has_two_views(pictures, digests):
    for view in range(4):
        wanted = pictures[:, :, ::-1] if view % 2 else pictures
        np.testing.assert_array_equal(augment(pictures, "mirror", view, digests), wanted)


def test_a_crop_lies_in_the_picture_and_shows_as_much_as_it_shall():
    least, p = POLICIES["crop"].crop, parameters("crop")
    area, aspect = p["zoom_x"] * p["zoom_y"], p["zoom_x"] / p["zoom_y"]
    assert least - 1e-4 <= area.min() < least + 0.02
    assert 0.97 < area.max() <= 1 + 1e-4
    assert 3 / 4 - 1e-4 <= aspect.min() < 0.77
    assert 1.3 < aspect.max() <= 4 / 3 + 1e-4
    for axis in "xy":
        reach = np.abs(p[f"shift_{axis}"]) + p[f"zoom_{axis}"] / 2
        assert reach.max() <= 0.5 + 1e-4
        assert np.corrcoef(p[f"shift_{axis}"], p[f"zoom_{axis}"])[0, 1] == pytest.approx(
            0, abs=0.06
        )


def test_a_hole_lies_in_half_of_the_pictures_and_is_as_large_as_it_shall_be():
    size, most = 1000, POLICIES["erase"].erasing
    left, top, right, bottom = draw("erase", 3, MANY, size).hole.T / size
    there = right > left
    assert there.mean() == pytest.approx(0.5, abs=0.03)
    assert not np.stack([left, top, right, bottom])[:, ~there].any()
    width, height = (right - left)[there], (bottom - top)[there]
    area, aspect = width * height, width / height
    fit = stats.kstest(area, stats.uniform(most / 12, most * 11 / 12).cdf)
    assert fit.pvalue > 1e-3
    assert 3 / 4 - 0.01 <= aspect.min() < 0.78
    assert 1.3 < aspect.max() <= 4 / 3 + 0.01
    assert left.min() >= 0
    assert max(right.max(), bottom.max()) <= 1
    for start, side in ((left, width), (top, height)):  # anywhere in the picture
        assert stats.kstest(start[there] / (1 - side), stats.uniform().cdf).pvalue > 1e-3


def test_draws_are_independent_of_one_another():
    p = parameters("strong")
    correlations = np.corrcoef(np.stack(list(p.values())))
    assert np.abs(correlations - np.eye(len(p))).max() < 0.08


def test_views_policies_and_pictures_differ():
    def drawn(policy, view):
        return parameters(policy, view)["zoom_x"] - 1

    medium = drawn("medium", 0)
    for other in (drawn("medium", 1), drawn("medium", 10), drawn("article", 0), drawn("strong", 0)):
        assert abs(np.corrcoef(medium, other)[0, 1]) < 0.06
    assert len(np.unique(medium)) > 3900


@pytest.mark.parametrize("policy", ["article", "strong"])
def test_a_picture_stands_for_itself(policy, pictures, digests):
    whole = augment(pictures, policy, 3, digests)
    np.testing.assert_array_equal(augment(pictures, policy, 3, digests), whole)
    order = np.random.default_rng(0).permutation(len(pictures))[:7]
    np.testing.assert_array_equal(augment(pictures[order], policy, 3, digests[order]), whole[order])
    one = augment(pictures[4:5], policy, 3, digests[4:5])
    np.testing.assert_array_equal(one, whole[4:5])
    for subset, all_of in zip(
        draw(policy, 3, digests[order], SIZE), draw(policy, 3, digests, SIZE), strict=True
    ):
        np.testing.assert_array_equal(subset, all_of[order])


def test_numbers_never_change():
    # Cached views are found again by policy and view: other numbers would be other pictures.
    affine, colour, _ = draw("strong", 1, MANY[:1], 100)
    np.testing.assert_allclose(
        affine[0],
        [-1.198586, -0.25949, 122.7441, -0.3953028, 0.8851407, 17.31014, 0.0, 0.0],
        rtol=1e-5,
    )
    np.testing.assert_allclose(colour[0], [6.206506, 0.8431734, 0.7541913], rtol=1e-5)
    np.testing.assert_array_equal(draw("erase", 1, MANY[1:3], 100).hole, HOLES)


def test_colour_stays_where_a_policy_leaves_it(pictures, digests):
    for policy in COLOURLESS:
        colour = draw(policy, 0, digests, SIZE).colour
        np.testing.assert_array_equal(colour, np.tile(np.float32([0, 1, 1]), (len(digests), 1)))
    affine, _, hole = draw("none", 0, digests, SIZE)
    neutral = np.tile(np.float32([0, 1, 1]), (len(digests), 1))
    found = keras.ops.convert_to_numpy(Augment()([pictures, affine, neutral, hole]))
    np.testing.assert_array_equal(found, pictures)


def test_pixels_stay_in_range(pictures, digests):
    found = augment(pictures, "strong", 0, digests)
    assert found.min() >= 0
    assert found.max() <= 255


def test_takes_no_pictures_at_all(pictures, digests):
    assert augment(pictures[:0], "strong", 0, digests[:0]).shape == (0, SIZE, SIZE, 3)


def test_the_layer_in_a_network_does_the_same(pictures, digests):
    inputs = [keras.Input((SIZE, SIZE, 3), dtype="uint8"), *_transforms()]
    views = Augment()(inputs)
    assert views.shape == (None, SIZE, SIZE, 3)
    transforms = draw("erase", 4, digests, SIZE)
    wanted = augment(pictures, "erase", 4, digests)
    model = keras.Model(inputs, views)
    found = model.predict([pictures, *transforms], batch_size=5, verbose=0)
    np.testing.assert_allclose(found, wanted, atol=1e-2)

    # In training too: the squared error of the views against themselves is nothing.
    gain = keras.layers.Rescaling(1.0)(views)
    model = keras.Model(inputs, gain)
    model.compile(loss="mean_absolute_error", optimizer="sgd", jit_compile=False)
    history = model.fit([pictures, *transforms], wanted, batch_size=5, verbose=0)
    assert history.history["loss"][0] < 1e-2


def test_the_layer_can_be_saved(pictures, digests, tmp_path):
    inputs = [keras.Input((SIZE, SIZE, 3)), *_transforms()]
    model = keras.Model(inputs, Augment()(inputs))
    model.save(tmp_path / "views.keras")
    loaded = keras.saving.load_model(tmp_path / "views.keras")
    data = [pictures.astype("f4"), *draw("erase", 4, digests, SIZE)]
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded(data)), keras.ops.convert_to_numpy(model(data))
    )


OTHER = """
import numpy as np
from models.augmentation import POLICIES, augment
pictures, digests = np.load("{0}/pictures.npy"), np.load("{0}/digests.npy")
for policy in POLICIES:
    np.save("{0}/" + policy + ".npy", augment(pictures, policy, 1, digests))
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="seen with JAX")
def test_every_backend_makes_the_same_pixels(pictures, digests, tmp_path):
    np.save(tmp_path / "pictures.npy", pictures)
    np.save(tmp_path / "digests.npy", digests)
    done = subprocess.run(
        [sys.executable, "-c", OTHER.format(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    for policy in POLICIES:
        theirs = np.load(tmp_path / f"{policy}.npy")
        np.testing.assert_allclose(theirs, augment(pictures, policy, 1, digests), atol=1e-2)
