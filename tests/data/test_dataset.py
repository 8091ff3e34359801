"""Folders of pictures become arrays and labels; every fault is told in one line."""

import errno
import io
import json
import multiprocessing
import os
import pickle
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tuning.data import containers, dataset, decoded
from tuning.data.decoding import decode
from tuning.errors import UserError
from tuning.features import __main__ as features


def paint(file, seed):
    """A small picture of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(abs(hash(seed)) % 2**32).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(file)


def fill(folder, classes, count, kind="png"):
    for name in classes:
        for index in range(count):
            paint(folder / name / f"{name}.{index}.{kind}", (str(folder), name, index))


def article(root, train=6, validation=3, test=0, classes=("cats", "dogs")):
    for split, count in (("train", train), ("validation", validation), ("test", test)):
        if count:
            fill(root / split, classes, count)
    return root


def load(root, cache, **options):
    return dataset.load(root, cache=cache, **({"image_size": 16} | options))


def counts(data):
    return {name: list(each.values()) for name, each in data.counts().items()}


def test_the_articles_layout(tmp_path, cache):
    data = load(article(tmp_path / "d", test=2), cache)
    assert data.classes == ("cats", "dogs")
    assert counts(data) == {"train": [6, 6], "validation": [3, 3], "test": [2, 2]}
    assert data.warnings == ()
    assert data.train.pictures.shape == (12, 16, 16, 3)
    assert not data.train.pictures.flags.writeable
    for path, label in zip(data.train.paths, data.train.labels, strict=True):
        assert path.startswith(f"train/{data.classes[label]}/")


@pytest.mark.parametrize("name", ["val", "valid"])
def test_other_names_of_validation(tmp_path, cache, name):
    root = article(tmp_path / "d")
    (root / "validation").rename(root / name)
    assert counts(load(root, cache)) == {"train": [6, 6], "validation": [3, 3]}


@pytest.mark.parametrize("below", [".", "train"])
def test_class_folders_alone_are_split_by_shares(tmp_path, cache, below):
    fill(tmp_path / "d" / below, "abc", 20)
    options = {"validation_share": 0.2, "holdout": 0.1}
    data = load(tmp_path / "d", cache, **options)
    assert counts(data) == {"train": [14] * 3, "validation": [4] * 3, "test": [2] * 3}
    paths = [set(split.paths) for split in data.splits]
    assert len(set.union(*paths)) == 60
    again = load(tmp_path / "d", cache, **options)
    assert again.fingerprint == data.fingerprint
    other = load(tmp_path / "d", cache, **options, split_seed=1)
    assert counts(other) == counts(data)
    assert other.validation.paths != data.validation.paths
    assert load(tmp_path / "d", cache, holdout=0.0).test is None


def test_a_holdout_is_taken_from_all_pictures_before_all_else(tmp_path, cache):
    root = article(tmp_path / "d", train=12, validation=8)
    data = load(root, cache, holdout=0.2)
    assert counts(data)["test"] == [4, 4]
    assert len({path for split in data.splits for path in split.paths}) == 40
    few = load(root, cache, holdout=0.2, per_class=(5, 3))
    assert counts(few) == {"train": [5, 5], "validation": [3, 3], "test": [4, 4]}
    assert few.test.paths == data.test.paths
    assert load(root, cache).test is None


def test_a_holdout_beside_a_test_folder_is_refused(tmp_path, cache):
    root = article(tmp_path / "d")
    shutil.copytree(root / "validation", root / "test")
    with pytest.raises(UserError, match="leave --holdout away"):
        load(root, cache, holdout=0.2)


@pytest.mark.parametrize("below", [".", "train"])
def test_kaggles_flat_layout(tmp_path, cache, below):
    for index in range(12):
        for name in ("cat", "dog"):
            paint(tmp_path / "d" / below / f"{name}.{index}.jpg", (name, index))
    data = load(tmp_path / "d", cache, per_class=(5, 4, 2))
    assert counts(data) == {"train": [5, 5], "validation": [4, 4], "test": [2, 2]}
    names = [path.rsplit("/")[-1] for path in data.validation.paths[:4]]
    # In the order of the numbers, as the article counts: 2 before 10.
    assert names == ["cat.5.jpg", "cat.6.jpg", "cat.7.jpg", "cat.8.jpg"]
    shares = load(tmp_path / "d", cache)
    assert sum(sum(each) for each in counts(shares).values()) == 24


def test_per_class_takes_the_first_of_each_split(tmp_path, cache):
    root = article(tmp_path / "d", train=12, validation=5)
    data = load(root, cache, per_class=(3, 2))
    assert counts(data) == {"train": [3, 3], "validation": [2, 2]}
    assert data.train.paths[:3] == tuple(f"train/cats/cats.{n}.png" for n in (0, 1, 2))


@pytest.mark.slow
def test_the_real_photos(all_photos, cache):
    data = load(all_photos, cache, image_size=32)
    assert counts(data) == {"train": [1000, 1000], "validation": [400, 400]}
    assert len(pickle.dumps(data)) < 1_000_000
    there = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(there.train.pictures[5], data.train.pictures[5])


def test_a_second_time_nothing_is_decoded(tmp_path, cache):
    root = article(tmp_path / "d")
    load(root, cache)
    files = sorted(cache.glob("pictures/*/*"))
    assert len(files) == 6  # of two splits, and of all pictures to compare them
    before = [(file, file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    load(root, cache)
    assert [(f, f.stat().st_ino, f.stat().st_mtime_ns) for f in files] == before
    assert sorted(cache.glob("pictures/*/*")) == files


@pytest.mark.parametrize("harm", ["cut", "garbled", "gone"])
def test_a_damaged_entry_is_decoded_again(tmp_path, cache, harm):
    root = article(tmp_path / "d")
    before = np.array(load(root, cache).train.pictures)
    for folder in (cache / "pictures").iterdir():
        if harm == "cut":
            os.truncate(folder / "pictures.npy", 300)
        elif harm == "garbled":
            (folder / "entry.json").write_text("{")
        else:
            (folder / "pictures.npy").unlink()
    np.testing.assert_array_equal(load(root, cache).train.pictures, before)


def zero(file):
    """As a disk or a careless program may leave it: as long as before, and empty of content."""
    length = file.stat().st_size - 500
    with file.open("r+b") as pixels:
        pixels.seek(500)
        pixels.write(bytes(length))


@pytest.mark.parametrize("harm", ["zeroed", "empty", "empty header", "odd header", "a file"])
def test_damage_to_pixels_is_noticed_at_the_next_load(tmp_path, cache, harm):
    root = article(tmp_path / "d")
    before = np.array(load(root, cache).train.pictures)
    for folder in (cache / "pictures").iterdir():
        if harm == "zeroed":
            zero(folder / "pictures.npy")
        elif harm == "empty":
            (folder / "pictures.npy").write_bytes(b"")
        elif harm == "empty header":
            (folder / "entry.json").write_bytes(b"")
        elif harm == "odd header":
            (folder / "entry.json").write_text("[1]")
        else:
            shutil.rmtree(folder)
            folder.write_text("in the way")
    np.testing.assert_array_equal(load(root, cache).train.pictures, before)


def test_damage_that_leaves_no_trace_is_found_by_verify(tmp_path, cache, capsys):
    root = article(tmp_path / "d")
    before = np.array(load(root, cache).train.pictures)
    command = ["--cache", str(cache), "verify"]
    assert features.main(command) == 0
    assert "decoded pictures: 3 sets as written" in capsys.readouterr().out
    for folder in (cache / "pictures").iterdir():
        file = folder / "pictures.npy"
        times = file.stat().st_atime_ns, file.stat().st_mtime_ns
        zero(file)
        os.utime(file, ns=times)
    assert features.main(command) == 1
    out = capsys.readouterr().out
    assert out.count("decoded pictures: removed, its content has changed") == 3
    np.testing.assert_array_equal(load(root, cache).train.pictures, before)
    for folder in (cache / "pictures").iterdir():
        (folder / "pictures.npy").write_bytes(b"")
    assert features.main(command) == 1
    assert "removed, it cannot be read: " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("damages", [200, pytest.param(1000, marks=pytest.mark.soak)])
def test_flipped_bits_and_cut_ends_are_all_found(damages, tmp_path, cache):
    root = article(tmp_path / "d")
    before = load(root, cache)
    (entry,) = (each for each in (cache / "pictures").iterdir() if each == before.train.folder.here)
    kept = {name: (entry / name).read_bytes() for name in (decoded.PIXELS, decoded.HEADER)}
    times = {name: (entry / name).stat().st_mtime_ns for name in kept}
    rng = np.random.default_rng(0)
    for number in range(damages):
        name = (decoded.PIXELS, decoded.HEADER)[number % 2]
        content = bytearray(kept[name])
        head = name == decoded.PIXELS and number % 4 == 0  # 128 bytes, which NumPy parses
        at = int(rng.integers(128 if head else len(content)))
        if number % 10 < 8:
            content[at] ^= 1 << int(rng.integers(8))
        else:
            content = content[:at]
        entry.mkdir(exist_ok=True)
        for each, whole in kept.items():
            (entry / each).write_bytes(content if each == name else whole)
            os.utime(entry / each, ns=(times[each], times[each]))  # as a failing disk leaves it
        found = dict(decoded.verify(cache / "pictures"))
        assert found[entry] or _same(kept, name, bytes(content)), f"{name} at {at}"
    assert [each for each in (cache / "pictures").iterdir() if each.name[0] != "."]
    again = load(root, cache)
    np.testing.assert_array_equal(again.train.pictures, before.train.pictures)
    assert again.fingerprint == before.fingerprint


def _same(kept, name, content):
    """Whether a flip changed nothing that is read: NumPy's padding, or the file's format number."""
    if name == decoded.HEADER:
        return json.loads(content) == json.loads(kept[name])
    wanted, found = (np.load(io.BytesIO(each)) for each in (kept[name], content))
    return found.dtype == wanted.dtype and np.array_equal(wanted, found)


def test_a_touched_entry_is_compared_once(tmp_path, cache, monkeypatch):
    root = article(tmp_path / "d")
    load(root, cache)
    for file in cache.glob("pictures/*/pictures.npy"):
        os.utime(file)
    compared = []
    are = decoded.are
    monkeypatch.setattr(decoded, "are", lambda *args: compared.append(args) or are(*args))
    load(root, cache)
    assert len(compared) == 3
    load(root, cache)
    assert len(compared) == 3


def test_without_room_nothing_is_decoded(tmp_path, cache, monkeypatch):
    root = article(tmp_path / "d")
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda folder: SimpleNamespace(free=9000))
    with pytest.raises(UserError, match=r"need 54\.0 KiB in .*, where 8\.8 KiB are free") as told:
        load(root, cache)
    assert len(str(told.value).splitlines()) == 1
    assert list((cache / "pictures").iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_one_line(tmp_path, cache, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    root = article(tmp_path / "d")
    monkeypatch.setattr(decoded.os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot be written to .*: No space left on device"):
        load(root, cache)
    assert list((cache / "pictures").iterdir()) == []


def test_a_package_that_is_installed_later_reads_what_was_left_out(tmp_path, cache, monkeypatch):
    root = article(tmp_path / "d", train=30)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(root / "train" / "cats" / "a.heic")
    with monkeypatch.context() as without:
        without.setattr(containers, "is_installed", lambda package: False)
        without.setattr(decoded, "is_installed", lambda package: False)
        for _ in range(2):
            (warning,) = load(root, cache).warnings
            assert "a.heic: it is HEIC, which needs a package: pip install pillow-heif" in warning
    data = load(root, cache)
    assert data.warnings == ()
    assert counts(data)["train"] == [31, 30]


# --- more than 8 bits


def deep(root, make, kind="tif", count=12):
    """Classes that differ by a tenth of their range."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 0.45), ("light", 0.55)):
        for index in range(count):
            values = np.clip(level + rng.normal(0, 0.05, (20, 20)), 0, 1)
            file = root / name / f"{index}.{kind}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(make(values)).save(file)
    return root


def with_holes(values):
    values = values.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    return values


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda v: (v * 4095).astype(np.uint16), "png"),
        (lambda v: (500 + v * 60).astype(np.uint16), "tif"),
        (lambda v: (v * 4000 - 1000).astype(np.int32), "tif"),
        (lambda v: v.astype(np.float32), "tif"),
        (lambda v: (v * 1e4).astype(np.float32), "tif"),
        (lambda v: (v * 1e-9).astype(np.float32), "tif"),
        (with_holes, "tif"),
    ],
    ids=["12 bits", "fine", "int32", "unit", "reflectance", "tiny", "holes"],
)
def test_one_scale_for_all_pictures_of_more_than_8_bits(tmp_path, cache, make, kind):
    root = deep(tmp_path / "d", make, kind)
    for _ in range(2):  # the second time from the cache
        data = load(root, cache, image_size=20)
        (warning,) = data.warnings
        assert warning.startswith("All training pictures have more than 8 bits: ")
        assert data.settings.levels is not None
        for split in data.splits:
            means = np.array([picture.mean() for picture in split.pictures])
            dark, light = means[split.labels == 0], means[split.labels == 1]
            assert light.min() > dark.max() + 20
            for path, picture in zip(split.paths, split.pictures, strict=True):
                assert (decode(root / path, 20, data.settings) == picture).all()
        assert np.asarray(data.train.pictures).std() > 30, "half of the range lies idle"


def test_the_scale_is_that_of_training_in_round_numbers(tmp_path, cache):
    root = deep(tmp_path / "d", lambda v: (v * 4095).astype(np.uint16))
    scales = {load(root, cache, split_seed=seed).settings.levels for seed in range(4)}
    assert len(scales) < 4
    assert all(each.low % 16 == each.high % 16 == 0 for each in scales)
    paint(root / "dark" / "100.png", 1)
    (warning,) = load(root, cache).warnings
    assert re.match(r"1\d of 1\d training pictures have more than 8 bits: ", warning)


def test_one_wild_value_changes_nothing(tmp_path, cache):
    root = deep(tmp_path / "d", lambda v: v.astype(np.float32))
    before = load(root, cache).settings
    file = root / "dark" / "3.tif"
    with Image.open(file) as picture:
        values = np.array(picture)
    values[3, 3], values[4, 4] = 1e9, -3.4e38
    Image.fromarray(values).save(file)
    assert load(root, cache).settings == before


def test_pictures_of_8_bits_have_no_scale(tmp_path, cache):
    assert load(article(tmp_path / "d"), cache).settings.levels is None


def _load_in_process(root, cache, queue):
    queue.put(load(root, cache).fingerprint)


def test_two_processes_at_once(tmp_path, cache):
    root = article(tmp_path / "d", train=200)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=_load_in_process, args=(root, cache, queue)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert queue.get() == queue.get() == load(root, cache).fingerprint
    assert all(each.name[0] != "." for each in (cache / "pictures").iterdir())


def test_what_the_fingerprints_depend_on(tmp_path, cache):
    root = article(tmp_path / "one")
    data = load(root, cache)
    moved = load(shutil.copytree(root, tmp_path / "two"), tmp_path / "elsewhere")
    assert moved.fingerprint == data.fingerprint
    (root / "train" / "cats").rename(root / "train" / "x")
    (root / "train" / "dogs").rename(root / "train" / "cats")
    (root / "train" / "x").rename(root / "train" / "dogs")
    swapped = load(root, cache)
    assert swapped.fingerprint != data.fingerprint
    paint(tmp_path / "two" / "train" / "cats" / "cats.0.png", "another")
    assert load(tmp_path / "two", cache).train.fingerprint != data.train.fingerprint


# --- faults


def broken(root, number, of="train/cats"):
    for index in range(number):
        (root / of / f"broken.{index}.jpg").write_bytes(b"no picture at all")


def test_a_few_broken_files_are_skipped_and_named(tmp_path, cache):
    root = article(tmp_path / "d", train=40)
    broken(root, 2)
    (root / "train" / "dogs" / ".DS_Store").write_bytes(b"hidden")
    for _ in range(2):  # the second time from the cache
        data = load(root, cache)
        assert counts(data)["train"] == [40, 40]
        assert data.warnings == tuple(
            f"skipped train/cats/broken.{index}.jpg: it is no picture that can be read"
            for index in range(2)
        )
    alone = np.asarray(load(article(tmp_path / "e", train=40), cache).train.pictures)
    assert alone.shape == data.train.pictures.shape
    for row in (0, 39, 40, 79):
        with Image.open(root / data.train.paths[row]) as picture:
            bands = [band.convert("F") for band in picture.split()]
        # Rounded once, at the end.
        small = [np.asarray(each.resize((16, 16), Image.Resampling.BILINEAR)) for each in bands]
        wanted = np.rint(np.stack(small, axis=-1)).astype(np.uint8)
        np.testing.assert_array_equal(data.train.pictures[row], wanted)


def test_many_broken_files_among_very_many_are_all_named(tmp_path, cache):
    root = article(tmp_path / "d", train=200)
    broken(root, 14)
    warnings = load(root, cache).warnings
    assert len(warnings) == 11
    assert "skipped 4 more" in warnings[-1]
    assert all(any(f"broken.{index}.jpg" in line for line in warnings) for index in range(14))


def test_too_many_broken_files_stop(tmp_path, cache):
    root = article(tmp_path / "d")
    broken(root, 3)
    with pytest.raises(UserError, match=r"3 of 21 files .* more than 5%.*broken\.0\.jpg"):
        load(root, cache)


def test_the_same_picture_in_two_splits_is_told(tmp_path, cache):
    root = article(tmp_path / "d", test=1)
    shutil.copy(root / "train/cats/cats.1.png", root / "validation/cats/copy.png")
    with Image.open(root / "train/dogs/dogs.1.png") as picture:
        picture.save(root / "validation/dogs/saved.bmp")  # other bytes, the same pixels
    warnings = load(root, cache).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("2 pictures of validation are in train as well, or nearly")
    assert "validation/cats/copy.png is train/cats/cats.1.png" in warnings[0]


def nothing(root):
    pass


def no_classes(root):
    root.mkdir()
    (root / "notes.txt").write_text("notes")


def one_class(root):
    fill(root, ["cats"], 4)


def empty_class(root):
    article(root)
    (root / "train" / "birds").mkdir()


def other_classes(root):
    article(root)
    (root / "validation" / "dogs").rename(root / "validation" / "wolves")


def no_picture(root):
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for index in range(4):
            (root / name / f"{index}.jpg").write_text("text")


def too_few(root):
    fill(root, ["cats", "dogs"], 2)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (nothing, "No such data folder: "),
        (no_classes, "No class folders in "),
        (one_class, "Only one class, 'cats', in "),
        (empty_class, "The class 'birds' in .* is empty"),
        (other_classes, "validation is without dogs and with wolves, which train lacks"),
        (no_picture, "No readable picture in "),
        (too_few, "The class 'cats' has 2 pictures, but 3 are needed to have one in every split"),
    ],
)
def test_faults_are_one_line(tmp_path, cache, make, told):
    make(tmp_path / "d")
    with pytest.raises(UserError, match=told) as caught:
        load(tmp_path / "d", cache)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("per_class", "told"),
    [
        ((7, 3), "The class 'cats' has 6 pictures, but 7 are needed for train"),
        ((6, 4), "The class 'cats' has 3 pictures, but 4 are needed for validation"),
        ((5, 3, 1), "There is no test split in .* to take 1 pictures"),
    ],
)
def test_more_per_class_than_there_are(tmp_path, cache, per_class, told):
    with pytest.raises(UserError, match=told):
        load(article(tmp_path / "d"), cache, per_class=per_class)


def test_a_class_without_a_readable_picture(tmp_path, cache):
    root = article(tmp_path / "d", train=40, validation=1)
    (root / "validation/cats/cats.0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="No readable picture of class 'cats' in validation"):
        load(root, cache)


def test_nothing_in_the_cache_is_ever_unpickled(tmp_path, cache):
    root = article(tmp_path / "d")
    load(root, cache)
    for folder in (cache / "pictures").iterdir():
        np.save(folder / "pictures.npy", np.array([{"a": 1}] * 12, object), allow_pickle=True)
    assert load(root, cache).train.pictures.dtype == np.uint8
    assert json.loads(next(cache.glob("pictures/*/entry.json")).read_text())["broken"] == {}
