"""Predicts pictures with a run's best model: `python tuning/predict.py RUN FILE…`.

Prints one line a picture: file, class, probability. Broken pictures are named on stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a script: the packages lie beside this file's folder, installed or not.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import csv
import json
import os

from tuning.quiet import import_keras

BATCH = 64  # pictures in memory at a time


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 1 when a picture could not be read; 2 when nothing could be done.
    """
    parser = argparse.ArgumentParser(
        prog="python tuning/predict.py",
        description="Classifies pictures with the best model of a run.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder, as in runs/NAME")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="pictures")
    options = parser.parse_args(arguments)
    model_file = options.run / "best" / "model.keras"
    if not model_file.is_file():
        print(f"error: no model in {options.run} (looked for {model_file})", file=sys.stderr)
        return 2

    import_keras(Path(os.devnull))
    import keras
    import numpy as np

    from tuning.pictures import UnreadablePicture, decode

    facts = json.loads((options.run / "best" / "classes.json").read_text())
    classes, size = facts["classes"], facts["image_size"]
    model = keras.saving.load_model(model_file, compile=False)
    output = csv.writer(sys.stdout, lineterminator="\n")
    output.writerow(["file", "class", "probability"])
    broken = 0
    for first in range(0, len(options.files), BATCH):
        names, pixels = [], []
        for path in options.files[first : first + BATCH]:
            try:
                pixels.append(decode(path, size))
                names.append(path)
            except UnreadablePicture as error:
                print(f"{path}: {error}", file=sys.stderr)
                broken += 1
        if not names:
            continue
        found = np.asarray(model.predict_on_batch(np.stack(pixels)))
        if found.shape[1] == 1:
            found = np.concatenate([1 - found, found], axis=1)
        for name, row in zip(names, found, strict=True):
            winner = int(row.argmax())
            output.writerow([name, classes[winner], f"{row[winner]:.4f}"])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
