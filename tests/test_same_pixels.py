"""A picture's probabilities are the same wherever it is decoded and resized."""

import csv
import io
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from exported import run_folder
from PIL import Image
from report_facts import example
from serving import ask, serving

from tuning import predict
from tuning.data import dataset
from tuning.data.decoding import DecodeSettings
from tuning.export import card, classifier

pytestmark = pytest.mark.slow

TOLERANCE = 1e-3
SIDE = 40  # photos are 4 to 8 times as large: a size at which JPEG can be decoded at a fraction


def enlarged(photos: list[Path], file: Path) -> Path:
    """A photo as cameras make them, of several small ones: large, and sharp to the last pixel."""
    whole = Image.new("RGB", (1600, 1200))
    for number in range(48):
        with Image.open(photos[number % len(photos)]) as photo:
            whole.paste(photo.resize((200, 200)), (number % 8 * 200, number // 8 * 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    whole.save(file, quality=90, exif=exif)
    return file


@pytest.fixture(scope="module", params=[None, "crop", "pad"])
def settings(request):
    return DecodeSettings(keep_aspect=request.param)


@pytest.fixture(scope="module")
def run(photos, settings, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exported.SIZE", SIDE)
        return run_folder(tmp_path_factory.mktemp("same"), photos, settings=settings)


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory):
    """12 photos of each class, and a large one of each."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        sources = sorted((photos / "validation" / name).iterdir())[:12]
        for number, source in enumerate(sources):
            (folder / name / f"{number:02}.jpg").write_bytes(source.read_bytes())
        enlarged(sources, folder / name / "99.jpg")
    return folder


@pytest.fixture(scope="module")
def model(run):
    return classifier.load(run)


@pytest.fixture(scope="module")
def wanted(folder, model):
    """By file, what the exported model says of the whole picture, which it resizes inside."""
    said = {}
    for file in sorted(folder.rglob("*.jpg")):
        with Image.open(file) as picture:
            turned = picture.rotate(-90, expand=True) if file.stem == "99" else picture
            pixels = np.asarray(turned.convert("RGB"))
        said[file] = float(model.model.predict_on_batch(pixels[None])[0, 0])
    assert np.std(list(said.values())) > 0.1, "the pictures make no difference"
    return said


def close(said, wanted):
    assert said.keys() == wanted.keys()
    worst = max(abs(said[file] - wanted[file]) for file in wanted)
    assert worst <= TOLERANCE, worst


def test_what_a_trial_saw(folder, model, wanted, settings, tmp_path):
    data = dataset.load(folder, cache=tmp_path, image_size=SIDE, settings=settings)
    said = {}
    for split in data.splits:
        rows = model.model.predict(np.asarray(split.pictures), verbose=0)[:, 0]
        said |= {folder / path: float(row) for path, row in zip(split.paths, rows, strict=True)}
    close(said, wanted)


def test_predict(run, folder, model, wanted, settings):
    close({file: said.probabilities[1] for file, said in predict.classify(model, wanted)}, wanted)
    if settings.keep_aspect != "crop":
        return  # the command is the same: once
    done = subprocess.run(
        [sys.executable, predict.__file__, run, folder, "--top-k", "2"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    told = csv.DictReader(io.StringIO(done.stdout))
    said = {
        Path(row["file"]): float(row["probability" if row["class"] == "dogs" else "probability_2"])
        for row in told
    }
    close(said, wanted)


def test_the_server(model, wanted):
    with serving(model) as port:
        answers = {file: ask(port, file.read_bytes()) for file in wanted}
    close({file: told["probabilities"]["dogs"] for file, (_, told) in answers.items()}, wanted)


def blocks(run):
    """The card's code, in its order."""
    text = (run / "best" / "card.md").read_text()
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return [textwrap.dedent(each) for each in found]


def test_the_code_of_the_card(run, wanted, monkeypatch):
    facts = example()
    card.write(facts | {"data": facts["data"] | {"image_size": SIDE}}, run)
    (code,) = blocks(run)
    monkeypatch.chdir(run / "best")
    said = {}
    for file in list(wanted)[::4] + list(wanted)[-1:]:
        Path("picture.jpg").write_bytes(file.read_bytes())
        names = {}
        exec(code, names)
        said[file] = float(names["probabilities"][-1])
    Path("picture.jpg").unlink()
    close(said, {file: wanted[file] for file in said})


def test_the_cards_resizing_for_formats_of_a_fixed_size(settings, folder, model, wanted):
    names = {"np": np, "Image": Image}
    file = folder / "cats" / "00.jpg"
    with Image.open(file) as picture:
        names["pixels"] = np.asarray(picture.convert("RGB"))
    exec(card.resizing(SIDE, settings.keep_aspect), names)
    assert names["pictures"].dtype == np.uint8
    said = model.model.predict(names["pictures"], verbose=0)
    close({file: float(said[0, 0])}, {file: wanted[file]})
