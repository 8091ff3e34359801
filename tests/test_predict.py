"""Files in, one line each out; what is broken is told and nothing else suffers."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported import SIZE, run_folder

from tuning import predict
from tuning.data.decoding import UnreadablePicture, decode
from tuning.errors import UserError
from tuning.export import classifier

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("predict"), photos)


@pytest.fixture(scope="module")
def model(run):
    return classifier.load(run)


@pytest.fixture
def folder(photos, tmp_path):
    """new/cats with 5 photos, new/dogs with 4, one of them below, and a broken file."""
    for name, count in (("cats", 5), ("dogs", 4)):
        (tmp_path / "new" / name / "more").mkdir(parents=True)
        for number, source in enumerate(sorted((photos / "validation" / name).iterdir())[:count]):
            place = "more" if number == 2 else "."
            (tmp_path / "new" / name / place / f"{number}.jpg").write_bytes(source.read_bytes())
    content = (tmp_path / "new" / "cats" / "0.jpg").read_bytes()
    (tmp_path / "new" / "cats" / "3.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "new" / ".hidden").mkdir()
    (tmp_path / "new" / ".hidden" / "1.jpg").write_bytes(content)
    return tmp_path / "new"


NAMES = ["cats/0", "cats/1", "cats/3", "cats/4", "cats/more/2"]
NAMES += ["dogs/0", "dogs/1", "dogs/3", "dogs/more/2"]


def found(folder, *arguments, lines=()):
    files = predict.find(list(map(str, arguments)), iter(lines))
    return [file.relative_to(folder).with_suffix("").as_posix() for file in files]


def test_folders_patterns_files_and_lists_are_found(folder):
    assert found(folder, folder) == NAMES
    assert found(folder, folder / "cats" / "*.jpg") == NAMES[:4]
    assert sorted(found(folder, folder / "**" / "*.jpg")) == sorted(NAMES)
    assert found(folder, folder / "d*") == NAMES[5:]
    lines = [f"{folder}/dogs/0.jpg\n", "\n", f"{folder}/cats\r\n"]
    assert found(folder, folder / "cats" / "1.jpg", "-", lines=lines) == [
        "cats/1",
        "dogs/0",
        *NAMES[:5],
    ]


def test_a_name_with_brackets_is_a_file(folder):
    (folder / "dogs" / "0.jpg").rename(folder / "[a].jpg")
    assert found(folder, folder / "[a].jpg") == ["[a]"]


def test_nothing_found_is_told_before_anything_is_read(folder, tmp_path):
    with pytest.raises(UserError, match=r"No pictures in the pattern .*png"):
        predict.find([str(folder / "*.png")], [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"No pictures in the folder .*empty"):
        predict.find([str(tmp_path / "empty")], [])


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_probabilities_are_the_models_in_the_order_of_files(model, folder, batch_size):
    files = list(predict.find([str(folder)], []))
    said = list(predict.classify(model, iter(files), batch_size))
    assert [path for path, _ in said] == files
    broken = NAMES.index("cats/3")
    assert isinstance(said.pop(broken)[1], UnreadablePicture)
    del files[broken]
    pixels = np.stack([decode(file, SIZE) for file in files])
    dogs = model.model.predict(pixels, verbose=0)[:, 0]
    rows = np.stack([each.probabilities for _, each in said])
    np.testing.assert_allclose(rows[:, 1], dogs, atol=1e-6)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    assert dogs.std() > 0.1, "the pictures make no difference"


def test_files_are_read_no_further_ahead_than_needed(model, folder):
    asked = []

    def endless():
        while True:
            asked.append(folder / "cats" / "0.jpg")
            yield asked[-1]

    results = predict.classify(model, endless(), batch_size=2)
    next(results)
    assert len(asked) <= 2 * (1 + predict.AHEAD)
    results.close()


def printed(model, capsys, paths, *options):
    options = predict._parser().parse_args(["run", "path", "--batch-size", "4", *options])
    code = predict._run(model, iter(paths), options)
    out, err = capsys.readouterr()
    return code, out, err


def test_json_lines_with_all_classes(photos, tmp_path, capsys):
    names = ("<b>", "b,c", "d\ne")
    model = classifier.load(run_folder(tmp_path, photos, names))
    files = sorted((tmp_path / "data").rglob("*.jpg"))
    code, out, _ = printed(model, capsys, files, "--format", "jsonl", "--top-k", "9")
    assert code == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert [each["file"] for each in told] == [str(file) for file in files]
    for each in told:
        probabilities = list(each["probabilities"].values())
        assert sorted(each["probabilities"]) == sorted(names)
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert (each["class"], each["probability"]) == next(iter(each["probabilities"].items()))
    _, out, _ = printed(model, capsys, files, "--top-k", "2")
    header, *rows = csv.reader(io.StringIO(out))
    assert header == ["file", "class", "probability", "class_2", "probability_2"]
    assert [[row[1], row[3]] for row in rows] == [list(each["probabilities"])[:2] for each in told]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("a/cats/1.jpg", "cats"),
        ("cats/old/1.jpg", "cats"),
        ("dogs/with/cats/1.jpg", "cats"),
        ("cat/1.jpg", None),
        ("cats.jpg", None),
    ],
)
def test_truth_is_the_nearest_folder_with_the_name_of_a_class(path, wanted):
    assert predict.truth(Path(path), ("cats", "dogs")) == wanted


def command(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, str(ROOT / "tuning" / "predict.py"), *map(str, arguments)],
        cwd="/",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        input=stdin,
        capture_output=True,
        timeout=600,
    )


@pytest.mark.slow
def test_the_command_predicts_all_it_can_and_tells_the_rest(run, model, folder):
    odd = os.fsencode(folder / "dogs") + b"/\xff.jpg"
    os.rename(folder / "dogs" / "0.jpg", odd)
    done = command(run, folder / "cats", "-", folder / "no.jpg", stdin=odd + b"\n")
    assert done.returncode == 1, done.stderr
    rows = list(csv.DictReader(io.StringIO(os.fsdecode(done.stdout))))
    files = [str(folder / f"{name}.jpg") for name in NAMES[:5] if name != "cats/3"]
    files.append(os.fsdecode(odd))
    assert [row["file"] for row in rows] == files
    pixels = [decode(Path(file), SIZE) for file in files]
    dogs = model.probabilities(pixels)[:, 1]
    for row, probability in zip(rows, dogs, strict=True):
        assert row["class"] == ("dogs" if probability > 0.5 else "cats")
        assert float(row["probability"]) == pytest.approx(
            max(probability, 1 - probability), abs=1e-4
        )
    right = sum(row["class"] in Path(row["file"]).parts for row in rows)
    lines = os.fsdecode(done.stderr).splitlines()
    assert lines[0].startswith(f"{folder / 'cats' / '3.jpg'}: it is broken")
    assert lines[1] == f"{folder / 'no.jpg'}: there is no such file"
    assert lines[2].startswith(f"accuracy {20 * right:.1f} % (95 % interval ")
    assert lines[2].endswith(f"{right} of the 5 pictures in folders named as the classes")
    assert lines[3:] == ["2 of 7 pictures could not be read"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "a.jpg"], "No model in nowhere"),
        ([".", "a.jpg", "--top-k", "0"], "--top-k: '0' is not a whole number"),
        ([".", "a.jpg", "--format", "xml"], "--format: invalid choice"),
        ([".", "no*.such"], "No pictures in the pattern no*.such"),
    ],
)
def test_mistakes_are_one_line_each(arguments, told, capsys):
    assert predict.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert told in err


def test_a_damaged_run_is_one_line(run, tmp_path):
    best = tmp_path / "run" / "best"
    best.mkdir(parents=True)
    (best / "model.keras").write_bytes((run / "best" / "model.keras").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"classes\.json cannot be read"):
        classifier.load(tmp_path / "run")
    (best / "classes.json").write_text((run / "best" / "classes.json").read_text())
    with pytest.raises(UserError, match=r"model\.keras cannot be loaded") as caught:
        classifier.load(tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 1


ODD = [
    b"a\nb.jpg",
    b"esc\x1b[2J.jpg",
    b'"quoted".jpg',
    b"comma,.jpg",
    b"-dash.jpg",
    b"\xff\xfe.jpg",
]
ODD += [
    b"n" * 251 + b".jpg",
    "e\u0301.jpg".encode(),
    "\u00e9.jpg".encode(),
    "\N{CAT FACE}".encode(),
]
ODD += [b"<script>.jpg", b"..jpg", b"con", b"true", b"01", b"BIG.JPG", b"[1].jpg", b"a b.jpg"]


@pytest.mark.slow
def test_any_file_name_comes_out_as_it_went_in(run, photos, tmp_path):
    """Into a pipe as bytes, so that programs find the file; on a terminal nothing is obeyed."""
    content = next((photos / "validation" / "dogs").iterdir()).read_bytes()
    for name in ODD:
        (tmp_path / "odd").mkdir(exist_ok=True)
        Path(os.fsdecode(os.fsencode(tmp_path / "odd") + b"/" + name)).write_bytes(content)
    (tmp_path / "odd" / "broken\x1b[2J.jpg").write_bytes(content[:300])
    os.mkfifo(tmp_path / "odd" / "pipe")
    done = subprocess.run(
        [sys.executable, ROOT / "tuning" / "predict.py", run, tmp_path / "odd"], capture_output=True
    )
    assert done.returncode == 1
    rows = list(csv.reader(io.StringIO(os.fsdecode(done.stdout))))[1:]
    shown = {os.path.basename(os.fsencode(file)) for file, *_ in rows}
    assert shown == {name for name in ODD if not name.startswith(b".")}
    assert b"\x1b" not in done.stderr
    assert rb"broken\x1b[2J.jpg: " in done.stderr
    assert b"pipe: it is no file" in done.stderr
    assert b"2 of 19 pictures could not be read" in done.stderr


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"classes": []}, "it names 0 classes"),
        ({"classes": ["cats"]}, "it names 1 classes"),
        ({"classes": ["a", "b", "c"]}, "tells 2 classes apart, but classes.json beside it names 3"),
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": 10**9}, "image_size is 1000000000"),
        ({"classes": None}, "cannot be read"),
    ],
)
def test_a_list_of_classes_that_is_none_of_the_model_is_refused(run, tmp_path, facts, told):
    copy = tmp_path / "run" / "best"
    copy.mkdir(parents=True)
    (copy / "model.keras").symlink_to(run / "best" / "model.keras")
    known = json.loads((run / "best" / "classes.json").read_text())
    (copy / "classes.json").write_text(json.dumps({**known, **facts}))
    with pytest.raises(UserError, match=told):
        classifier.load(tmp_path / "run")


def test_a_backend_that_there_is_not_is_one_line(run, photos):
    done = subprocess.run(
        [sys.executable, ROOT / "tuning" / "predict.py", run, photos / "validation"],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "foo"},
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "KERAS_BACKEND is 'foo', and may be tensorflow or jax" in line


def test_of_what_it_is_not_sure_it_says_nothing(photos, tmp_path, capsys):
    model = classifier.load(run_folder(tmp_path, photos, ("cats", "dogs")))
    files = sorted((tmp_path / "data").rglob("*.jpg"))
    _, out, _ = printed(model, capsys, files)
    sure = sorted(float(row["probability"]) for row in csv.DictReader(io.StringIO(out)))
    least = (sure[len(sure) // 2] + sure[len(sure) // 2 - 1]) / 2
    code, out, err = printed(model, capsys, files, "--min-probability", str(least))
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    silent = [row for row in rows if float(row["probability"]) < least]
    assert 0 < len(silent) < len(rows)
    assert all((row["class"] == "") == (row in silent) for row in rows)
    assert f"{len(silent)} of {len(rows)} pictures left without a class" in err
    _, out, _ = printed(
        model, capsys, files, "--min-probability", str(least), "--format", "jsonl", "--top-k", "2"
    )
    told = [json.loads(line) for line in out.splitlines()]
    assert sum(each["class"] is None for each in told) == len(silent)
    assert all(len(each["probabilities"]) == 2 for each in told)
