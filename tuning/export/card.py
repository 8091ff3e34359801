"""The model card: what the best model is, how good, from what, and how to load it.

Sections after Mitchell et al., "Model Cards for Model Reporting", FAT* 2019
(https://arxiv.org/abs/1810.03993). It goes where the model goes, so it names no path of this
machine.
"""

from __future__ import annotations

from pathlib import Path

from search_spaces.experiments import BACKBONE
from tuning import wording
from tuning.export import familiar, integers
from tuning.export.classifier import CLASSES, MODEL
from tuning.export.formats import FORMATS, written
from tuning.files import atomic
from tuning.records.facts import Best, Facts, Score
from tuning.report import story
from tuning.report.markdown import code, code_block, escape, pairs, table

FILE_NAME = "card.md"
FEW = 1000  # pictures; with fewer, an interval at 90 % is wider than 4 points

KERAS = """
import json
import keras
import numpy as np
from PIL import Image

model = keras.saving.load_model("{file}")
facts = json.load(open("{classes}"))
classes = facts["classes"]
picture = Image.open("picture.jpg")
picture.load()
turn = {{2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}}.get(picture.getexif().get(0x0112))
picture = picture if turn is None else picture.transpose(turn)
if picture.mode[0] in "IF":  # more than 8 bits
    low, high = facts.get("levels", (0, 65535))
    values = np.nan_to_num(np.asarray(picture, "float64"), nan=low, posinf=high, neginf=low)
    values = np.clip((values - low) / (high - low), 0, 1) * 255
    pixels = np.repeat(values.astype("float32")[:, :, None], 3, axis=2)
else:
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    pixels = np.asarray(picture.convert("RGB"))
probabilities = model.predict(pixels[None], verbose=0)[0]
{reading}
"""
RESIZING = """
bands = [Image.fromarray(pixels[:, :, band].astype("float32")) for band in range(3)]
{square}bands = [band.resize(({size}, {size}), Image.Resampling.BILINEAR) for band in bands]
pictures = np.rint(np.stack(bands, axis=-1)).astype("uint8")[None]
"""
SQUARES = {
    None: "",
    "crop": """width, height = bands[0].size
side = min(width, height)
left, top = (width - side) // 2, (height - side) // 2
bands = [band.crop((left, top, left + side, top + side)) for band in bands]
""",
    "pad": """width, height = bands[0].size
side = max(width, height)
left, top = (side - width) // 2, (side - height) // 2
bands = [band.crop((-left, -top, width + left, height + top)) for band in bands]
""",
}
SHAPES = {
    None: "squashed to",
    "crop": "cut to the square in its middle, of",
    "pad": "put on a black square of",
}


def write(facts: Facts, folder: Path) -> None:
    """Writes `best/card.md` into a run folder; nothing where no trial finished an epoch.

    Args:
        facts: The facts of the run's report.
        folder: The run folder, with the best model in it and the formats it was taken to.
    """
    best = facts["best"]
    if best is None:
        return
    path = folder / "best" / FILE_NAME
    atomic.write_text(path, _card(facts, best, path.parent))


def _card(facts: Facts, best: Best, folder: Path) -> str:
    classes = list(facts["data"]["classes"])
    named = ", ".join(code(name) for name in classes)
    chapters = [
        [
            f"# Model card: {escape(facts['run']['name'])}",
            f"Tells {len(classes)} classes of pictures apart: {named}. "
            f"{escape(story.headline(best))}. Made on {escape(wording.moment(facts['created']))} "
            "by a search of Little Data Tuner.",
        ],
        [f"> **Note.** {escape(note)}" for note in _notes(facts, best)],
        ["## Intended use", _uses(facts)],
        ["## How good it is", *_metrics(facts, best)],
        ["## Data", *_data(facts)],
        ["## Limits", _limits(facts, best, folder)],
        ["## How to load it", *_loading(facts, best, folder)],
        ["## How it was made", pairs(_making(facts, best))],
        ["## Licence", *_licence(facts, best)],
    ]
    return "\n\n".join(block for chapter in chapters for block in chapter) + "\n"


def _notes(facts: Facts, best: Best) -> list[str]:
    """Those of the report; what a backbone started from concerns a model that has it."""
    frozen = best["hyperparameters"].get("network") != "convnet" and not _is_users(best)
    notes = story.banners(facts)
    return [note for note in notes if frozen or note != facts["weights"]["note"]]


def _uses(facts: Facts) -> str:
    return _list(
        [
            "Made to sort pictures like those it was trained on into these classes.",
            "It always answers with one of them, also for a picture that shows none; there is no "
            "“neither”.",
            "Try it on pictures of your own, labelled by hand, before anything depends on it. It "
            "is not made for decisions about people, or where a mistake does harm.",
        ]
    )


def _metrics(facts: Facts, best: Best) -> list[str]:
    scores = {"Validation": best["validation"]}
    if best["test"] is not None:
        scores["Test"] = best["test"]
    header = ["Split", "Accuracy", "95 % interval", "Commonest class", "Loss", "Area under ROC"]
    header += ["Pictures"]
    blocks = [
        table(header, [_score(split, score) for split, score in scores.items()]),
        f"The intervals are Wilson's. {_quotable(best)}",
    ]
    recalls = {split: score["recall"] for split, score in scores.items() if score["recall"]}
    if recalls:
        rows = [
            [name, *(wording.percent(recall.get(name)) for recall in recalls.values())]
            for name in facts["data"]["classes"]
        ]
        blocks += ["Of each class's pictures, so many are recognised:"]
        blocks.append(table(["Class", *recalls], rows))
    return blocks + _repeats(facts, best)


def _quotable(best: Best) -> str:
    if best["test"] is None:
        return (
            "The validation pictures chose this model, so its accuracy on them is optimistic. "
            "There was no test split: expect less on new pictures, nobody knows how much."
        )
    return (
        "The validation pictures chose this model, so quote the test accuracy: its pictures had no "
        "say."
    )


def _score(split: str, score: Score) -> list[str]:
    return [
        split,
        wording.percent(score["accuracy"]),
        wording.interval(score["interval"]),
        wording.percent(score.get("commonest")),
        wording.value(score["loss"]),
        wording.value(score["auc"]),
        f"{score['pictures']:,}",
    ]


def _repeats(facts: Facts, best: Best) -> list[str]:
    """How much of the accuracy is luck of the seed, or of the split."""
    lines = []
    repeated = facts["confirmation"]["candidates"] if facts["confirmation"] else []
    for candidate in repeated:
        if candidate["trial"] == best["trial"]:
            lines.append(
                f"Trained again with {wording.count(len(candidate['accuracies']), 'fresh seed')}: "
                f"validation {wording.metric(facts.get('metric', 'accuracy'))} "
                f"{_spread(candidate['mean'], candidate['sd'])}."
            )
    folds = facts["cross_validation"]
    if folds:
        lines.append(
            f"Cross-validated with {folds['folds']} folds: "
            f"{wording.metric(facts.get('metric', 'accuracy'))} "
            f"{_spread(folds['mean'], folds['sd'])}."
        )
    return lines


def _spread(mean: float, deviation: float) -> str:
    return f"{wording.percent(mean)} on average, standard deviation {wording.percent(deviation)}"


def _data(facts: Facts) -> list[str]:
    data = facts["data"]
    name = Path(data["root"]).name or data["root"]
    return [
        f"{code(name)}, pictures a class and split:",
        table(*story.data(facts)),
        f"Fingerprint: {code(data['fingerprint'])}",
    ]


def _limits(facts: Facts, best: Best, folder: Path) -> str:
    size, keep_aspect = facts["data"]["image_size"], facts["data"].get("keep_aspect")
    lines = [
        f"It sees every picture {SHAPES[keep_aspect]} {size} × {size} pixels: what is small or "
        "thin in a picture may be lost.",
        "Its accuracy is that on pictures from the same source. Another camera, light, season or "
        "background can cost it any amount.",
    ]
    if (folder / familiar.FILE).exists():
        lines.append(
            f"{code(familiar.FILE)} beside it holds what it was shown: "
            f"{code('python -m tuning.predict')} says of each picture whether it is unlike all of "
            "that, and the model's answer not to be relied on."
        )
    judged = best["test"] or best["validation"]
    text = "Its probabilities were not calibrated: 0.9 need not be right nine times in ten"
    if best.get("ensemble"):
        text = "It answers with the mean of several trials, each calibrated on validation pictures"
    elif judged.get("raw"):
        text = "Its probabilities were calibrated on the validation pictures, by a temperature"
    if judged["calibration"]:
        text += f"; on average they are off by {wording.percent(judged['calibration']['error'])}"
    lines.append(f"{text}.")
    if judged["pictures"] < FEW:
        lines.append(
            f"The accuracy was measured on {wording.count(judged['pictures'], 'picture')} only; "
            "the interval says how little that is."
        )
    train = facts["data"]["counts"].get("train", {})
    if train and max(train.values()) > 2 * min(train.values()):
        rare, common = min(train, key=lambda n: train[n]), max(train, key=lambda n: train[n])
        lines.append(
            f"Classes were not equally common in training: {train[rare]:,} pictures of "
            f"{escape(rare)}, {train[common]:,} of {escape(common)}. It leans to the common ones."
        )
    lines += [escape(warning) for warning in (*facts["warnings"], *facts["data"]["warnings"])]
    return _list(lines)


def _loading(facts: Facts, best: Best, folder: Path) -> list[str]:
    size = facts["data"]["image_size"]
    binary = len(facts["data"]["classes"]) == 2
    if binary:
        # A HyperModel of the user's may well give two.
        number = "last number" if _is_users(best) else "one number"
        output = (
            f"The output's {number} for each picture is the probability of "
            f"{code(facts['data']['classes'][1])}."
        )
        reading = "print(classes[int(probabilities[-1] > 0.5)])"
    else:
        output = f"The output is a probability for each class, in the order of {code(CLASSES)}."
        reading = "print(classes[probabilities.argmax()])"
    there = written(folder)
    files = [[MODEL, "Keras 3", "any size", _size(folder / MODEL)]]
    for name in there:
        form = FORMATS[name]
        inputs = "any size" if form.any_size else f"{size} × {size} pixels"
        files.append(
            [
                form.file,
                form.title,
                inputs if form.batch is None else f"{inputs}, {form.batch} at a time",
                _size(folder / form.file),
            ]
        )
    blocks = [
        table(["File", "Format", "Pictures", "Size"], files),
        "Pictures are uint8, RGB, 0 to 255, (N, height, width, 3); scaling of pixel values is part "
        f"of the model. {output}",
        "With Keras alone, on any of its backends:",
        code_block(KERAS.format(file=MODEL, classes=CLASSES, reading=reading).strip()),
    ]
    if facts["data"].get("levels"):
        blocks.append(
            "Pillow, which this code reads with, cuts colours of more than 8 bits and refuses many "
            f"bands; {code('python -m tuning.predict')} shows them to the model as training did."
        )
    for name in there:
        form = FORMATS[name]
        blocks += [f"As {form.title}:", code_block(form.loading.format(size=size).strip())]
        if name == integers.NAME and (measured := integers.read(folder)):
            blocks.append(f"Measured when it was written: {escape(measured.in_words())}")
    if any(not FORMATS[name].any_size for name in there):
        blocks += [
            "A fixed size stands where the format has no antialiased resizing. Resize first, as "
            "the training did, and round once:",
            code_block(resizing(size, facts["data"].get("keep_aspect")).strip()),
        ]
    return blocks


def resizing(size: int, keep_aspect: str | None) -> str:
    """Code from `pixels`, uint8 (height, width, 3), to `pictures`, uint8 (1, size, size, 3)."""
    return RESIZING.format(size=size, square=SQUARES[keep_aspect])


def _size(path: Path) -> str:
    files = path.rglob("*") if path.is_dir() else [path]
    return wording.size(sum(file.stat().st_size for file in files if file.is_file()))


def _making(facts: Facts, best: Best) -> list[tuple[str, str]]:
    found = best.get("ensemble")
    trials = wording.listed(map(str, found["trials"])) if found else ""
    together = [("Mean of trials", f"{trials}; what stands above is the first's")] if found else []
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        *((wording.label(key), wording.value(v)) for key, v in best["hyperparameters"].items()),
        ("Epoch kept", str(best["epoch"])),
        *together,
        ("Chosen from", wording.count(len(facts["trials"]), "trial")),
        ("Seed", str(facts["run"]["seed"])),
        ("Versions", versions),
    ]


def _licence(facts: Facts, best: Best) -> list[str]:
    data = (
        "What else may be done with the model depends on the licence of the pictures it was "
        "trained on, which this card does not know. The licence of Little Data Tuner covers its "
        "code, not the models made with it."
    )
    network = str(best["hyperparameters"].get("network"))
    source = facts["weights"].get("sources", {}).get(network, facts["weights"]["source"])
    name = wording.network_title(network)
    if _is_users(best):
        return [
            "The network is a HyperModel of the user's. Layers or weights that it brought along "
            "are under the licence of whoever made them.",
            data,
        ]
    if network == "convnet" or source == "none":
        return ["All of its weights were trained on the data above, from random ones.", data]
    if source == "random":
        return [f"{name}'s weights in it are random numbers, which have no licence.", data]
    if source == "imagenet" and network == BACKBONE:
        return [
            "It contains VGG16's ImageNet weights as Keras Applications ships them: made by the "
            "Visual Geometry Group, Oxford (Simonyan and Zisserman, “Very Deep Convolutional "
            "Networks for Large-Scale Image Recognition”, 2014), under the Creative Commons "
            "Attribution licence (CC BY 4.0); name them. They were trained on ImageNet, whose "
            "pictures are for non-commercial research.",
            data,
        ]
    if source in ("imagenet", "own"):
        whose = "Keras Applications" if source == "imagenet" else "whoever made that network"
        return [
            f"It contains weights of {code(name)} as they come from {whose}; for their licence see "
            "the source.",
            data,
        ]
    return [
        f"{name}'s weights in it come from {code(Path(source).name)}, under the licence of whoever "
        "made that file; ask them.",
        data,
    ]


def _is_users(best: Best) -> bool:
    """Whether the network is of a HyperModel that is not ours."""
    return not wording.is_ours(best["hyperparameters"])


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
