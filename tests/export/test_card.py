"""The model card: what it must say, and that its code runs."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from exported import SIZE, run_folder
from PIL import Image
from report_facts import example

from tuning.export import card
from tuning.export.formats import FORMATS


def written(tmp_path, facts):
    (tmp_path / "best").mkdir(exist_ok=True)
    (tmp_path / "best" / "model.keras").touch()
    card.write(facts, tmp_path)
    return (tmp_path / "best" / "card.md").read_text(encoding="utf-8")


def test_it_says_how_good_the_model_is_and_on_what(tmp_path):
    facts = example()
    text = written(tmp_path, facts)
    best = facts["best"]
    for score in (best["validation"], best["test"]):
        assert f"{100 * score['accuracy']:.1f} %" in text
        low, high = score["interval"]
        assert f"{100 * low:.1f} to {100 * high:.1f} %" in text
        assert f"{score['pictures']:,}" in text
    assert "| cats | 1,000 | 400 |" in text
    assert facts["data"]["fingerprint"] in text
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    assert headings == [
        "Model card: cats-and-dogs",
        "Intended use",
        "How good it is",
        "Data",
        "Limits",
        "How to load it",
        "How it was made",
        "Licence",
    ]


def test_without_a_test_split_it_says_so(tmp_path):
    text = written(tmp_path, example(test=False))
    assert "There was no test split" in text
    assert "| Test |" not in text


def test_without_a_best_trial_there_is_no_card(tmp_path):
    card.write(example(scored=False), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("network", "source", "told"),
    [
        ("vgg16", "imagenet", "CC BY 4.0"),
        ("vgg16", "/home/me/secret/mine.npz", "`mine.npz`"),
        ("vgg16", "random", "random numbers, which have no licence"),
        ("convnet", "imagenet", "trained on the data above"),
    ],
)
def test_the_licence_is_that_of_the_weights_in_the_model(tmp_path, network, source, told):
    facts = example()
    facts["weights"]["source"] = source
    facts["best"]["hyperparameters"]["network"] = network
    text = written(tmp_path, facts)
    assert told in text.split("## Licence")[1]
    assert ("CC BY" in text) == (told == "CC BY 4.0")
    assert "secret" not in text


@pytest.mark.parametrize("network", ["vgg16", "convnet"])
def test_what_vgg16_started_from_concerns_a_model_that_has_it(tmp_path, network):
    facts = example()
    facts["weights"]["note"] = "VGG16 carried random weights."
    facts["best"]["hyperparameters"]["network"] = network
    assert ("carried random weights" in written(tmp_path, facts)) == (network == "vgg16")


def test_of_a_network_of_the_users_it_claims_less(tmp_path):
    facts = example()
    facts["best"]["hyperparameters"] = {"units": 64}
    facts["weights"] |= {"source": "none", "checksum": ""}
    text = written(tmp_path, facts)
    assert "The output's last number for each picture is the probability of `dogs`" in text
    assert "from random ones" not in text
    assert "| Units | 64 |" in text


def test_it_names_no_path_of_this_machine_and_no_markup_of_strangers(tmp_path):
    facts = example(classes=("<script>", "a|b`c"), note="weights of <i>x</i>")
    facts["data"]["root"] = "/home/me/pictures"
    text = written(tmp_path, facts)
    assert "/home/me" not in text
    assert "`pictures`" in text
    assert "<i>" not in text
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert "<script>" not in outside_code


def test_rare_classes_and_small_tests_are_limits(tmp_path):
    facts = example()
    facts["data"]["counts"]["train"] = {"cats": 100, "dogs": 900}
    facts["best"]["test"]["pictures"] = 60
    limits = written(tmp_path, facts).split("## Limits")[1].split("##")[0]
    assert "60 pictures only" in limits
    assert "100 pictures of cats, 900 of dogs" in limits
    assert "equally common" not in written(tmp_path, example())


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("card"), photos)


@pytest.mark.slow
def test_its_code_for_keras_runs_without_this_project(run, photos):
    card.write(example(), run)
    best = run / "best"
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (best / "card.md").read_text(), re.MULTILINE)
    assert len(blocks) == 1
    source = next((photos / "validation" / "dogs").iterdir())
    (best / "picture.jpg").write_bytes(source.read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(blocks[0])],
        cwd=best,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("cats", "dogs")


@pytest.mark.parametrize("name", FORMATS)
def test_its_code_for_other_formats_runs(run, name, photos, tmp_path, monkeypatch):
    from tuning.data import dataset
    from tuning.export import classifier, formats, integers

    model = classifier.load(run)
    exact = name != integers.NAME
    if exact:
        formats.convert(run / "best", name, model.model, SIZE)
    else:
        data = dataset.load(photos, cache=tmp_path, image_size=SIZE, per_class=(20, 20))
        integers.convert(run / "best", model.model, data)
    card.write(example() | {"data": example()["data"] | {"image_size": SIZE}}, run)
    text = (run / "best" / "card.md").read_text()
    title = re.escape(FORMATS[name].title)
    code = re.search(rf"^As {title}:\n\n((?:^    .*\n|^\n(?=    ))+)", text, re.MULTILINE)
    picture = Image.effect_noise((SIZE, SIZE), 90).convert("RGB")
    values = {"pictures": np.asarray(picture)[None], "picture": np.asarray(picture)[None]}
    monkeypatch.chdir(run / "best")
    exec(textwrap.dedent(code[1]), values)
    wanted = model.model.predict(values["pictures"], verbose=0)
    np.testing.assert_allclose(
        np.asarray(values["probabilities"]), wanted, atol=1e-4 if exact else 0.05
    )
    assert ("Measured when it was written" in text) == (not exact)
    assert f"{SIZE} × {SIZE} pixels" in text or FORMATS[name].any_size
