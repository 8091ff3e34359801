"""What is known of a run before its first trial: `opening.json` in the run folder.

With `trials.jsonl` and `cache.jsonl` it is all that a report needs, also while the search goes on.
"""

from __future__ import annotations

import json
from typing import Any, TypedDict, cast

from tuning.errors import UserError
from tuning.files import atomic
from tuning.records import shapes
from tuning.records.facts import Data, Hardware, Kept, Screened, Space, Weights
from tuning.records.run_folder import RunFolder


class Experiment(TypedDict):
    """One of the article's, as a trial of this run."""

    name: str
    title: str
    article: str
    article_accuracy: float
    hyperparameters: dict[str, Any]


class _Since(TypedDict, total=False):
    """What runs of earlier versions do not have."""

    space: Space
    screening: list[Screened]  # of several frozen networks, the best first; else empty
    metric: str  # what the search goes by, see `evaluation.metrics`; accuracy where it is not said
    kept: Kept | None  # None where nothing is chosen by the machine
    resplit: bool  # whether each trial has a division into training and validation of its own


class RunMetadata(_Since):
    """The whole of ``opening.json``."""

    name: str
    command: str
    settings: str
    seed: int
    began: str
    planned: int
    epochs: int
    objectives: list[str]
    price: float | None
    versions: dict[str, str]
    hardware: Hardware
    data: Data
    weights: Weights
    experiments: list[Experiment]


def write(metadata: RunMetadata, folder: RunFolder) -> None:
    """Writes it down, whole or not at all."""
    text = json.dumps(metadata, ensure_ascii=False, indent=1)
    atomic.write_text(folder.metadata, text + "\n")


def read(folder: RunFolder) -> RunMetadata:
    """What `write` wrote.

    Raises:
        UserError: If the folder is none of a run that came to its first trial, or the file is
            damaged.
    """
    path = folder.metadata
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        shapes.expect(metadata, RunMetadata)
        if not sum(metadata["data"]["counts"].get("validation", {}).values()):
            raise ValueError("data.counts has no validation pictures")
        for split, counts in metadata["data"]["counts"].items():
            if counts.keys() != set(metadata["data"]["classes"]):
                raise ValueError(f"data.counts.{split} is of other classes than data.classes")
    except (FileNotFoundError, NotADirectoryError):
        there = folder.path.is_dir()
        reason = f"it has no {path.name}" if there else "there is no such folder"
        raise UserError(f"{folder.path} is not a run folder: {reason}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    return cast(RunMetadata, metadata)
