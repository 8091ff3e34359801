"""Folders as people have them: whatever lies beside pictures, and however splits are called."""

import csv
import io
import os
import shutil
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tuning.data import archives, dataset, labels, likeness
from tuning.data.folds import fold, most_folds
from tuning.data.layouts import split_of
from tuning.errors import UserError


def paint(file, seed):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(file)


def fill(folder, classes=("green", "red"), count=20, start=0):
    """Pictures that differ, in class folders; in the folder itself where a class is None."""
    for number, name in enumerate(classes):
        for index in range(start, start + count):
            place = folder if name is None else folder / name
            paint(place / f"{index:03d}.png", 1000 * number + index)
    return folder


def load(root, cache, **options):
    return dataset.load(root, cache=cache, **({"image_size": 16} | options))


def counts(data):
    return {name: list(each.values()) for name, each in data.counts().items()}


# --- layouts


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((each, "train") for each in ("train", "Training", "TRAIN", "training_set", "trainset")),
        *((each, "validation") for each in ("val", "Valid", "VALIDATION", "dev", "val-set")),
        *((each, "test") for each in ("test", "Testing", "test1", "Test_Data", "test set")),
        *((each, None) for each in ("trains", "bus", "value", "tester", "set", "data", "images")),
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


def test_splits_in_capitals(tmp_path, cache):
    root = tmp_path / "d"
    for split, count in (("Training", 12), ("Valid", 5), ("TESTING", 4)):
        fill(root / split, count=count, start=100 * count)
    data = load(root, cache)
    assert counts(data) == {"train": [12, 12], "validation": [5, 5], "test": [4, 4]}
    assert data.classes == ("green", "red")
    assert data.warnings == ()


def test_without_validation_it_is_taken_from_training(tmp_path, cache):
    root = tmp_path / "d"
    fill(root / "train", count=20)
    fill(root / "test", count=8, start=100)
    data = load(root, cache)
    assert counts(data) == {"train": [16, 16], "validation": [4, 4], "test": [8, 8]}
    assert all(path.startswith("test/") for path in data.test.paths)
    assert all(path.startswith("train/") for path in data.train.paths + data.validation.paths)
    (told,) = data.warnings
    assert told.startswith("there is no validation split")
    some = load(root, cache, per_class=(10, 5))
    assert counts(some) == {"train": [10, 10], "validation": [5, 5], "test": [8, 8]}
    assert counts(load(root, cache, per_class=(10, 5, 3)))["test"] == [3, 3]


@pytest.mark.parametrize("folder", [".", "images", "cats_and_more"])
def test_an_unlabelled_test_folder_is_left_out_and_said(tmp_path, cache, folder):
    root = tmp_path / "d"
    fill(root / "train", count=12)
    fill(root / "val", count=5, start=50)
    fill(root / "test" / folder, classes=[None], count=7, start=100)
    data = load(root, cache)
    assert counts(data) == {"train": [12, 12], "validation": [5, 5]}
    (told,) = data.warnings
    assert told.startswith("left out test/: 7 pictures without class folders")
    # What is held out instead is no contradiction then.
    assert counts(load(root, cache, holdout=0.2))["test"] == [3, 3]


def test_a_class_may_be_called_train(tmp_path, cache):
    data = load(fill(tmp_path / "d", ("bus", "car", "train"), 12), cache)
    assert data.classes == ("bus", "car", "train")
    assert data.warnings == ()


def test_splits_beside_something_else_are_classes_and_that_is_said(tmp_path, cache):
    root = tmp_path / "d"
    for split in ("train", "val"):
        fill(root / split, count=6, start=len(split) * 100)
    fill(root, ["extra"], count=12, start=900)
    data = load(root, cache)
    assert data.classes == ("extra", "train", "val")
    (told,) = data.warnings
    assert told.startswith("train/ and val/ were taken for classes, since extra/ lies beside")


def test_folders_without_pictures_change_nothing(tmp_path, cache):
    root = tmp_path / "d"
    fill(root / "train", count=12)
    fill(root / "val", count=5, start=50)
    (root / "annotations").mkdir()
    (root / "annotations" / "all.xml").write_text("<all/>")
    assert counts(load(root, cache)) == {"train": [12, 12], "validation": [5, 5]}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda root: fill(root / "pets"), r"one folder alone; did you mean .*/d/pets\?"),
        (lambda root: fill(root / "pets" / "Train"), r"did you mean .*/d/pets\?"),
        (lambda root: [fill(root / each) for each in ("val", "test")], "no train/ to learn from"),
        (
            lambda root: [fill(root / each) for each in ("train", "val", "Valid")],
            "Valid/ and val/ in .* are both validation folders; keep one",
        ),
        (
            lambda root: [
                fill(root / "train"),
                fill(root / "val", start=50),
                fill(root / "test", ["green"], start=80),
            ],
            "test is without red; every split needs the same class folders",
        ),
        (lambda root: paint(root / "great_pyrenees_1.jpg", 0), r"expected train/CLASS/… and"),
    ],
)
def test_what_is_no_layout_is_one_line(tmp_path, cache, make, told):
    make(tmp_path / "d")
    with pytest.raises(UserError, match=told) as caught:
        load(tmp_path / "d", cache)
    assert len(str(caught.value).splitlines()) == 1


# --- what is no picture


def test_what_lies_beside_pictures_is_left_out_in_one_line(tmp_path, cache):
    root = fill(tmp_path / "d", count=12)
    clean = load(root, cache)
    for name in ("green", "red"):
        (root / name / "Thumbs.db").write_bytes(b"\xd0\xcf")
        (root / name / "desktop.ini").write_text("[.ShellClassInfo]")
        (root / name / ".DS_Store").write_bytes(b"hidden")
        for index in range(12):
            (root / name / f"{index:03d}.json").write_text("{}")
            (root / name / f"{index:03d}.XML").write_text("<a/>")
    (root / "README").write_text("of what is here")
    for junk in ("__MACOSX/green", "@eaDir", "green/@eaDir", "red/thumbnails"):
        paint(root / junk / "001.png", 3)
    data = load(root, cache)
    assert data.fingerprint == clean.fingerprint
    (told,) = data.warnings
    assert told.startswith("left out 57 files beside the pictures: 24 .json, 24 .xml, ")
    for kind in ("2 Thumbs.db", "2 desktop.ini", "1 in __MACOSX", "2 in @eaDir", "1 README"):
        assert kind in told


def test_files_beside_class_folders_are_counted(tmp_path, cache):
    root = fill(tmp_path / "d", count=12)
    paint(root / "loose.png", 7)
    assert load(root, cache).warnings == (
        "left out 1 file beside the pictures: 1 beside class folders",
    )


def test_links_are_followed_and_loops_are_not(tmp_path, cache):
    store = fill(tmp_path / "store", count=12)
    root = tmp_path / "d"
    (root / "red").mkdir(parents=True)
    (root / "green").symlink_to(store / "green")
    (root / "red" / "more").symlink_to(store / "red")
    (root / "red" / "again").symlink_to(root)
    (root / "red" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (store / "red" / "back").symlink_to(root / "red")
    data = load(root, cache)
    assert sum(map(sum, counts(data).values())) == 24
    assert set(data.warnings) == {
        "left out 1 link that leads nowhere: red/gone.png",
        "left out 2 links back to folders above them: red/again, red/more/back",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path, cache):
    root = fill(tmp_path / "d", count=12)
    closed = fill(root / "green", ["closed"], 2) / "closed"
    closed.chmod(0)
    try:
        assert load(root, cache).warnings == (
            "left out 1 folder that cannot be read: green/closed",
        )
    finally:
        closed.chmod(0o700)


def test_a_folder_that_the_system_refuses_is_named(tmp_path, cache, monkeypatch):
    root = fill(tmp_path / "d", count=12)
    closed = fill(root / "green", ["closed"], 2) / "closed"
    listed = Path.iterdir

    def refused(path):
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    data = load(root, cache)
    assert data.warnings == ("left out 1 folder that cannot be read: green/closed",)


def test_forms_of_one_name_are_one_class(tmp_path, cache):
    root = tmp_path / "d"
    for form, split, start in (("NFC", "train", 0), ("NFD", "val", 50), ("NFD", "train", 80)):
        names = [unicodedata.normalize(form, each) for each in ("crème brûlée", "thé")]
        fill(root / split, names, 6, start)
    data = load(root, cache)
    assert data.classes == ("crème brûlée", "thé")
    assert counts(data) == {"train": [12, 12], "validation": [6, 6]}


# --- pictures that come again


def test_equal_pictures_of_two_classes_are_named_with_both_paths(tmp_path, cache):
    root = fill(tmp_path / "d", count=12)
    for index in range(3):
        shutil.copy(root / "green" / f"00{index}.png", root / "red" / f"copy{index}.png")
    *_, told = load(root, cache).warnings
    assert told.startswith("3 pictures under two classes, of which one is wrong: ")
    for index in range(3):
        one, other = f"red/copy{index}.png (red)", f"green/00{index}.png (green)"
        assert f"{one} is {other}" in told or f"{other} is {one}" in told


@pytest.mark.parametrize("seed", range(4))
def test_equal_pictures_stay_in_one_split(tmp_path, cache, seed):
    root = fill(tmp_path / "d", count=12)
    for name in ("green", "red"):
        for index in range(6):
            shutil.copy(root / name / f"00{index}.png", root / name / f"copy{index}.png")
    data = load(root, cache, split_seed=seed)
    (told,) = data.warnings
    assert told.startswith("24 pictures are the same as others, or nearly, and stay in one split")
    assert sum(map(sum, counts(data).values())) == 36
    kinds = [{bytes(each) for each in split.digests} for split in data.splits]
    assert sum(map(len, kinds)) == len(set.union(*kinds))
    for number in range(3):
        part = fold(data, number, 3)
        one, other = ({bytes(d) for d in split.digests} for split in (part.train, part.validation))
        assert not one & other


def test_a_class_of_copies_is_divided_and_that_is_said(tmp_path, cache):
    root = fill(tmp_path / "d", count=12)
    for file in (root / "red").iterdir():
        shutil.copy(root / "red" / "000.png", root / "copy")
        (root / "copy").replace(file)
    data = load(root, cache)
    assert counts(data)["train"] == [8, 8]
    assert any("which inflates the score" in line for line in data.warnings)


@pytest.fixture
def saved_anew(tmp_path, photos):
    """24 photos of each class, 8 of which come again: at quality 60, smaller, lighter or cut."""
    root = tmp_path / "d"
    for name in ("cats", "dogs"):
        (root / name).mkdir(parents=True)
        for number, file in enumerate(sorted((photos / "train" / name).iterdir())[:24]):
            shutil.copy(file, root / name)
            if number >= 8:
                continue
            with Image.open(file) as picture:
                wide, high = picture.size
                changed = [
                    picture,
                    picture.resize((wide // 2, high // 2)),
                    ImageEnhance.Brightness(picture).enhance(1.15),
                    picture.crop((wide // 60, high // 60, wide, high)),
                ][number % 4]
                changed.save(root / name / f"{file.stem}_again.jpg", quality=60)
    return root


@pytest.mark.parametrize("seed", range(3))
def test_pictures_saved_anew_stay_in_one_split(saved_anew, cache, seed):
    data = load(saved_anew, cache, split_seed=seed)
    (told,) = data.warnings
    assert told.startswith("32 pictures are the same as others, or nearly")
    place = {path.replace("_again", ""): [] for split in data.splits for path in split.paths}
    assert len(place) == 48
    for split in data.splits:
        for path in split.paths:
            place[path.replace("_again", "")].append(split.name)
    assert all(len(set(names)) == 1 for names in place.values())
    for number in range(3):
        part = fold(data, number, 3)
        one, other = (set(split.groups) - {None} for split in (part.train, part.validation))
        assert not one & other


def test_pictures_saved_anew_are_counted_where_the_user_divided(saved_anew, cache, tmp_path):
    root = tmp_path / "divided"
    for name in ("cats", "dogs"):
        for file in (saved_anew / name).iterdir():
            split = "val" if "_again" in file.name else "train"
            (root / split / name).mkdir(parents=True, exist_ok=True)
            shutil.move(file, root / split / name)
    (told,) = load(root, cache).warnings
    assert told.startswith("16 pictures of validation are in train as well, or nearly")


def test_where_all_pictures_are_alike_being_alike_says_nothing():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (32, 32, 3)).astype(float)
    alike = one + rng.normal(0, 6, (200, 32, 32, 3))
    others = rng.integers(0, 256, (200, 32, 32, 3))
    pictures = np.concatenate([alike, others]).clip(0, 255).astype(np.uint8)
    assert len(set(likeness.clusters(pictures).tolist())) > 390
    few = np.concatenate([pictures[:10], pictures[200:]])
    assert len(set(likeness.clusters(few).tolist())) == 201
    assert len(set(likeness.clusters(np.full((30, 32, 32, 3), 9, np.uint8)).tolist())) == 30
    assert likeness.clusters(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0,)


# --- lists


def listed(path, rows, delimiter=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


@pytest.fixture
def unlabelled(tmp_path):
    """24 pictures in one folder, whose classes nothing says."""
    return fill(tmp_path / "d" / "images", [None], 24).parent


@pytest.mark.parametrize(
    ("head", "name", "delimiter"),
    [
        (["id", "label"], "{:03d}", ","),
        (["image_id", "breed"], "{:03d}.png", ";"),
        (["x", "path", "species"], "./images/{:03d}.png", "\t"),
        (["file", "class"], "C:\\photos\\images\\{:03d}.png", ","),
        (None, "{:03d}.png", ","),
    ],
)
def test_classes_from_a_list(tmp_path, cache, unlabelled, head, name, delimiter):
    rows = [[name.format(n), "red" if n % 2 else "green"] for n in range(24)]
    if head and len(head) == 3:
        rows = [[n, *row] for n, row in enumerate(rows)]
    file = listed(tmp_path / "train.csv", [head, *rows] if head else rows, delimiter)
    data = load(unlabelled, cache, listed=file)
    assert data.classes == ("green", "red")
    assert counts(data) == {"train": [8, 8], "validation": [2, 2], "test": [2, 2]}
    for path, label in zip(data.train.paths, data.train.labels, strict=True):
        assert int(Path(path).stem) % 2 == label


def test_without_the_list_its_option_is_named(cache, unlabelled):
    shutil.move(unlabelled / "images", unlabelled / "train")
    listed(unlabelled / "train.csv", [["id", "label"], ["000", "red"]])
    with pytest.raises(UserError, match=r"--labels .*train\.csv"):
        load(unlabelled, cache)


def test_a_row_goes_before_the_folder_and_others_keep_theirs(tmp_path, cache):
    root = fill(tmp_path / "d", count=12)
    file = listed(tmp_path / "fixed.csv", [["file", "label"], ["green/003.png", "red"]])
    data = load(root, cache, listed=file)
    assert [sum(each) for each in zip(*counts(data).values(), strict=True)] == [11, 13]
    assert data.warnings == ()


def test_pictures_without_class_and_rows_without_picture_are_counted(tmp_path, cache, unlabelled):
    rows = [["file", "label"], *[[f"{n:03d}", "ab"[n % 2]] for n in range(20)], ["999", "a"]]
    data = load(unlabelled, cache, listed=listed(tmp_path / "l.csv", rows))
    assert sum(map(sum, counts(data).values())) == 20
    assert data.warnings == (
        "1 line of l.csv without a picture: 999",
        "left out 4 pictures without a class in l.csv",
    )


def test_splits_from_a_list(tmp_path, cache, unlabelled):
    splits = ["Train"] * 12 + ["val"] * 8 + ["testing"] * 4
    rows = [[f"{n:03d}", "ab"[n % 2], splits[n]] for n in range(24)]
    file = listed(tmp_path / "l.csv", [["file", "label", "split"], *rows])
    data = load(unlabelled, cache, listed=file)
    assert counts(data) == {"train": [6, 6], "validation": [4, 4], "test": [2, 2]}


def test_groups_are_divided_neither_between_splits_nor_between_folds(tmp_path, cache, unlabelled):
    rows = [[f"{n:03d}", "ab"[n % 2], f"patient {n % 8}"] for n in range(24)]
    file = listed(tmp_path / "l.csv", [["file", "label", "who"], *rows])
    for seed in range(4):
        data = load(unlabelled, cache, listed=file, groups="who", split_seed=seed)
        assert sum(map(sum, counts(data).values())) == 24
        who = [{int(Path(path).stem) % 8 for path in split.paths} for split in data.splits]
        assert sum(map(len, who)) == 8
        assert most_folds(data) == min(
            len(
                {
                    int(Path(p).stem) % 8
                    for s in (data.train, data.validation)
                    for p in s.paths
                    if int(Path(p).stem) % 2 == label
                }
            )
            for label in (0, 1)
        )
        for number in range(2):
            part = fold(data, number, 2)
            one, other = (set(split.groups) for split in (part.train, part.validation))
            assert one
            assert not one & other


def test_groups_that_were_divided_are_told(tmp_path, cache, unlabelled):
    rows = [[f"{n:03d}", "ab"[n % 2], "train" if n < 12 else "val", n % 8] for n in range(24)]
    file = listed(tmp_path / "l.csv", [["file", "label", "split", "group"], *rows])
    (told,) = load(unlabelled, cache, listed=file).warnings
    assert told.startswith("8 groups are in several splits, which inflates the score")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["file", "label"], ["x.png", "a"], ["y.png", "b"]], "No column of .* names pictures"),
        ([["file", "label"], ["000", "a"], ["000", "b"]], "'a' in line 2 and 'b' in line 3"),
        ([["file", "label"], ["000", "a"], ["001", "a"]], "Only one class, 'a'"),
        (
            [["file", "one", "two"], ["000", "a", "c"], ["001", "b", "d"], ["002", "a", "c"]],
            "Which column of .* has the classes: one, two",
        ),
        ([["file", "label", "split"], ["000", "a", "half"]], "the split 'half' is none of"),
        ([], "is empty"),
    ],
)
def test_faults_of_a_list_are_one_line(tmp_path, cache, unlabelled, rows, told):
    with pytest.raises(UserError, match=told) as caught:
        load(unlabelled, cache, listed=listed(tmp_path / "l.csv", rows))
    assert len(str(caught.value).splitlines()) == 1


def test_more_faults_of_a_list(tmp_path, cache, unlabelled):
    file = tmp_path / "l.csv"
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load(unlabelled, cache, listed=file)
    file.write_bytes("file,label\n000,thé\n".encode("utf-16"))
    with pytest.raises(UserError, match="is not text in UTF-8"):
        load(unlabelled, cache, listed=file)
    fill(unlabelled / "more", [None], 1)
    listed(file, [["file", "label"], ["000.png", "a"], ["001.png", "b"]])
    with pytest.raises(UserError, match=r"may mean images/000\.png or more/000\.png"):
        load(unlabelled, cache, listed=file)
    listed(file, [["file", "label"], ["images/000.png", "a"]])
    with pytest.raises(UserError, match=r"--groups who: .* its columns are file, label"):
        load(unlabelled, cache, listed=file, groups="who")


def test_a_division_that_was_written_down_is_kept(tmp_path, cache):
    root = fill(tmp_path / "d", count=12)
    data = load(root, cache)
    written = tmp_path / "split.csv"
    labels.write(written, root, data.pictures())
    fill(root, count=6, start=500)
    again = load(root, cache, divided=written)
    assert again.fingerprint == data.fingerprint
    assert [split.paths for split in again.splits] == [split.paths for split in data.splits]
    assert load(root, cache).fingerprint != data.fingerprint
    written.write_text("something else\n")
    with pytest.raises(UserError, match="is damaged"):
        load(root, cache, divided=written)


# --- archives


def packed(folder, target):
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as file:
            for each in sorted(folder.rglob("*.png")):
                file.write(each, each.relative_to(folder.parent))
    else:
        with tarfile.open(target, "w:gz") as file:
            file.add(folder, folder.name)
    return target


@pytest.mark.parametrize("name", ["d.zip", "d.tar.gz"])
def test_an_archive_is_unpacked_once(tmp_path, cache, name):
    root = fill(tmp_path / "photos", count=12)
    archive = packed(root, tmp_path / name)
    found = archives.unpacked(archive, cache)
    assert load(found, cache).fingerprint == load(root, cache).fingerprint
    before = found.stat().st_ino
    assert archives.unpacked(archive, cache) == found
    assert found.stat().st_ino == before
    assert len(list((cache / "archives").iterdir())) == 1


def outside_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../outside.png", b"x")


def outside_tar(path):
    with tarfile.open(path, "w") as file:
        info = tarfile.TarInfo("../outside.png")
        info.size = 1
        file.addfile(info, io.BytesIO(b"x"))


def cut(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/1.png", bytes(100_000))
    path.write_bytes(path.read_bytes()[40:])


@pytest.mark.parametrize("make", [outside_zip, outside_tar, cut, lambda p: p.write_text("no")])
def test_what_cannot_be_unpacked_is_one_line_and_leaves_nothing(tmp_path, cache, make):
    archive = tmp_path / "d"
    make(archive)
    with pytest.raises(UserError, match=r"cannot be unpacked|nor an archive") as caught:
        archives.unpacked(archive, cache)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(tmp_path.rglob("outside.png"))
    assert not (cache / "archives").exists() or not list((cache / "archives").iterdir())


def test_an_archive_that_has_no_room_is_not_unpacked(tmp_path, cache, monkeypatch):
    from types import SimpleNamespace

    archive = packed(fill(tmp_path / "photos", count=2), tmp_path / "d.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(UserError, match=r"The unpacked pictures need .*, where 100 bytes are free"):
        archives.unpacked(archive, cache)
