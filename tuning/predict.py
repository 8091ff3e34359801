"""Predicts pictures with a run's best model: `python tuning/predict.py RUN PATH…`.

Prints one line a picture: file, class, probability. Broken pictures are named on stderr, and so is
the accuracy where pictures lie in folders named as the classes.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a script: the packages lie beside this file's folder, installed or not.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tuning.process.interrupt import leave_at_once

if __name__ == "__main__":
    leave_at_once()  # from the first moment: imports take seconds

import argparse
import csv
import glob
import io
import itertools
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tuning.data.decoding import UnreadablePicture, decode
from tuning.errors import UserError
from tuning.evaluation.intervals import wilson
from tuning.export import classifier
from tuning.export.classifier import Classifier, Said
from tuning.options.command_line import argument_type
from tuning.options.kinds import SHARE, whole
from tuning.process.backend import import_keras
from tuning.process.commands import Parser, exit_code
from tuning.wording import count, interval, percent, visible

BATCH = 64  # pictures the model sees at a time
AHEAD = 2  # batches that are decoded while the model runs


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 1 when a picture could not be read; 2 when nothing could be done; 130 when interrupted.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # File names are bytes; those that are not UTF-8 come out as they went in.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    return exit_code(lambda: _predict(_parser().parse_args(arguments)))


def _predict(options: argparse.Namespace) -> int:
    paths = find(options.paths, sys.stdin)
    classifier.check(options.run)
    import_keras(Path(os.devnull))
    return _run(classifier.load(options.run), paths, options)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python tuning/predict.py",
        description="Classifies pictures with the best model of a run. Prints a line a picture; "
        "broken pictures are named on stderr, and the exit code is then 1. Where pictures lie in "
        "folders named as the classes, the accuracy goes to stderr as well.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder, as in runs/NAME")
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a picture, a folder (with those below it), a pattern such as 'new/**/*.jpg', or - "
        "for a list of paths on stdin, one a line",
    )
    parser.add_argument(
        "--format", choices=("csv", "jsonl"), default="csv", help="of the output (default csv)"
    )
    parser.add_argument(
        "--top-k",
        type=argument_type(whole(1)),
        default=1,
        metavar="K",
        help="name the K likeliest classes, at most all (default %(default)s)",
    )
    parser.add_argument(
        "--min-probability",
        type=argument_type(SHARE),
        default=0.0,
        metavar="P",
        help="leave the class empty where the likeliest has less; the report shows what that gains "
        "(default: answer always)",
    )
    parser.add_argument(
        "--batch-size",
        type=argument_type(whole(1)),
        default=BATCH,
        metavar="N",
        help="pictures the model sees at a time (default %(default)s)",
    )
    return parser


@dataclass
class _Tally:
    """What came of pictures, to be told at the end."""

    predicted: int = 0
    broken: int = 0
    judged: int = 0  # of those predicted with a class, in folders named as the classes
    right: int = 0
    silent: int = 0  # for want of certainty
    unlike: int = 0

    def lines(self, least: float) -> Iterator[str]:
        """What to say of them, where classes need a probability of at least `least`."""
        pictures = count(self.predicted, "picture")
        if self.judged:
            ends = interval(wilson(self.right, self.judged))
            yield (
                f"accuracy {percent(self.right / self.judged)} (95 % interval {ends}): "
                f"{self.right:,} of the {count(self.judged, 'picture')} in folders named as the "
                "classes"
            )
        if self.unlike:
            yield (
                f"{self.unlike:,} of {pictures} unlike all that the model was shown: do not rely "
                "on what it says of them"
            )
        if self.silent:
            yield f"{self.silent:,} of {pictures} left without a class: less than {least:g} sure"
        if self.broken:
            whole = count(self.predicted + self.broken, "picture")
            yield f"{self.broken:,} of {whole} could not be read"


def _run(model: Classifier, paths: Iterator[Path], options: argparse.Namespace) -> int:
    """Classifies and prints; returns the exit code."""
    top, tally = min(options.top_k, len(model.classes)), _Tally()
    if options.format == "csv":
        names = [(f"class{place}", f"probability{place}") for place in _places(top)]
        strange = ["unlike"] if model.familiar else []
        _print_csv(["file", *itertools.chain.from_iterable(names), *strange])
    for path, said in classify(model, paths, options.batch_size):
        if isinstance(said, UnreadablePicture):
            print(visible(f"{path}: {said}"), file=sys.stderr)
            tally.broken += 1
            continue
        ranking = model.ranked(said.probabilities, top)
        answers = ranking[0][1] >= options.min_probability
        _print(path, ranking, said.unlike, answers, options.format)
        tally.predicted += 1
        tally.silent += not answers
        tally.unlike += bool(said.unlike)
        if answers and (label := truth(path, model.classes)) is not None:
            tally.judged += 1
            tally.right += label == ranking[0][0]
    sys.stdout.flush()
    if not tally.predicted + tally.broken:
        raise UserError("No pictures: the list on stdin was empty.")
    for line in tally.lines(options.min_probability):
        print(line, file=sys.stderr)
    return 1 if tally.broken else 0


def _print(
    path: Path,
    ranking: Sequence[tuple[str, float]],
    unlike: bool | None,
    answers: bool,
    form: str,
) -> None:
    """One picture's line; its class is left empty where the model is not sure enough to answer."""
    if form == "jsonl":
        unsure = {} if answers else {"class": None}
        print(json.dumps({"file": str(path), **as_json(ranking, unlike), **unsure}))
        return
    # Programs get names as they are; a terminal would obey what is in them.
    shown = visible if sys.stdout.isatty() else str
    cells = [
        (name if answers or place else "", f"{probability:.4f}")
        for place, (name, probability) in enumerate(ranking)
    ]
    strange = [] if unlike is None else ["yes" if unlike else "no"]
    _print_csv([shown(str(path)), *itertools.chain.from_iterable(cells), *strange])


def _places(top: int) -> list[str]:
    """The end of a column's name: nothing for the likeliest class, then _2, _3 and so on."""
    return ["", *(f"_{place}" for place in range(2, top + 1))]


def _print_csv(row: Sequence[object]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(row)


def as_json(ranking: Sequence[tuple[str, float]], unlike: bool | None = None) -> dict[str, object]:
    """A prediction as a JSON object: `class`, `probability`, `probabilities` likeliest first.

    And `unlike`, where it is known: whether the picture is unlike all that the model was shown.
    """
    rounded = {name: round(probability, 6) for name, probability in ranking}
    name = ranking[0][0]
    line = {"class": name, "probability": rounded[name], "probabilities": rounded}
    return line if unlike is None else {**line, "unlike": unlike}


def find(arguments: Sequence[str], lines: Iterable[str]) -> Iterator[Path]:
    """The files that arguments mean, in their order, those of a folder by name.

    Args:
        arguments: Files, folders, patterns (`**` goes down into folders), `-` for `lines`.
        lines: Paths of files or folders, one a line; read only as files are asked for.

    Raises:
        UserError: If a pattern or folder holds no file; at once, not when files are asked for.
    """
    found: list[Iterable[Path]] = []
    for argument in arguments:
        if argument == "-":
            given = (line.rstrip("\r\n") for line in lines)
            found.append(file for name in given if name for file in _under(Path(name)))
            continue
        names = [argument]
        # A file may well be called [1].jpg.
        if glob.has_magic(argument) and not os.path.lexists(argument):
            names = sorted(glob.glob(argument, recursive=True))
        files = [file for name in names for file in _under(Path(name))]
        if not files:
            what = "folder" if Path(argument).is_dir() else "pattern"
            raise UserError(f"No pictures in the {what} {argument}.")
        found.append(files)
    return itertools.chain.from_iterable(found)


def _under(path: Path) -> Iterator[Path]:
    """The path, or of a folder the files below it; hidden ones are left out, as in a search."""
    if not path.is_dir():
        yield path
        return
    closed: list[Path] = []
    # Follows no links, which may lead in circles.
    for folder, below, files in os.walk(path, onerror=lambda e: closed.append(Path(e.filename))):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))
    yield from closed  # each is told as what cannot be read


def classify(
    model: Classifier, paths: Iterable[Path], batch_size: int = BATCH
) -> Iterator[tuple[Path, Said | UnreadablePicture]]:
    """Classifies files; the next ones are decoded in threads while the model runs.

    Args:
        model: A run's model.
        paths: The files; read no further ahead than needed.
        batch_size: Pictures the model sees at a time.

    Yields:
        In the order of `paths`: a file, and what is said of it, or why nothing is.
    """
    batch: list[tuple[Path, np.ndarray | UnreadablePicture]] = []
    whole = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, picture in _decoded(pool, paths, model, AHEAD * batch_size):
            batch.append((path, picture))
            whole += isinstance(picture, np.ndarray)
            if whole == batch_size:
                yield from _judged(model, batch)
                batch, whole = [], 0
        yield from _judged(model, batch)


def _decoded(
    pool: ThreadPoolExecutor, paths: Iterable[Path], model: Classifier, most: int
) -> Iterator[tuple[Path, np.ndarray | UnreadablePicture]]:
    def attempt(path: Path) -> np.ndarray | UnreadablePicture:
        try:
            if not path.is_file():  # a FIFO would keep us waiting for ever
                return UnreadablePicture(_no_file(path))
            return decode(path, model.image_size, model.settings)
        except UnreadablePicture as error:
            return error

    ahead: deque[tuple[Path, Future[np.ndarray | UnreadablePicture]]] = deque()
    for path in paths:
        ahead.append((path, pool.submit(attempt, path)))
        if len(ahead) > most:
            first, picture = ahead.popleft()
            yield first, picture.result()
    for first, picture in ahead:
        yield first, picture.result()


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "this folder cannot be read"
    return "it is no file" if path.exists() else "there is no such file"


def _judged(
    model: Classifier, batch: Sequence[tuple[Path, np.ndarray | UnreadablePicture]]
) -> Iterator[tuple[Path, Said | UnreadablePicture]]:
    pictures = [picture for _, picture in batch if isinstance(picture, np.ndarray)]
    rows = iter(model.judge(pictures) if pictures else ())
    for path, picture in batch:
        yield path, next(rows) if isinstance(picture, np.ndarray) else picture


def truth(path: Path, classes: Sequence[str]) -> str | None:
    """The class that a file's nearest folder with a class's name claims, None where none does."""
    return next((folder.name for folder in path.parents if folder.name in classes), None)


if __name__ == "__main__":
    sys.exit(main())
