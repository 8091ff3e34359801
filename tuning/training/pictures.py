"""The pictures that a run is about."""

from __future__ import annotations

import logging
from pathlib import Path

from tuning.data import archives, dataset, demo
from tuning.data.dataset import Dataset
from tuning.data.decoding import DecodeSettings, Levels
from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import SharedFolder, fetch_folder
from tuning.options import Options, settings
from tuning.records.run_folder import RunFolder

NAMED = 20  # classes, in one line
# What says which pictures they are, how they are divided and decoded.
OPTIONS = (
    *("data", "cache", "labels", "groups", "per_class", "validation_share", "holdout"),
    *("split_seed", "keep_aspect"),
)

log = logging.getLogger(__name__)


def load(options: Options, levels: Levels | None = None, divided: Path | None = None) -> Dataset:
    """The pictures, or the demo's; says what they are, and what is wrong with some of them.

    Args:
        options: What the user asked for.
        levels: The scale of pictures of more than 8 bits, if it is known.
        divided: The list by which the run divided them when it began; None if it begins now.

    Raises:
        UserError: If they are no data set.
    """
    root = _root(options)
    try:
        found = dataset.load(
            root,
            cache=options.cache,
            image_size=options.image_size,
            validation_share=options.validation_share,
            holdout=options.holdout,
            per_class=options.per_class,
            split_seed=options.split_seed,
            settings=DecodeSettings(levels, options.keep_aspect),
            listed=_list(options.labels, root) if options.labels and not divided else None,
            groups=options.groups,
            divided=divided,
        )
    except UserError as error:
        # An archive is known to the user by its own name, not by where it was unpacked.
        raise UserError(str(error).replace(str(root), str(options.data or root))) from None
    for warning in found.warnings:
        log.warning("%s", warning)
    counts = found.counts()
    sizes = ", ".join(f"{sum(each.values()):,} {name}" for name, each in counts.items())
    classes = [
        f"{name} {sum(each[name] for each in counts.values()):,}" for name in found.classes[:NAMED]
    ]
    classes += ["…"] if len(found.classes) > NAMED else []
    source = options.data or "the demo"
    log.info("%d classes of %s: %s", len(found.classes), source, ", ".join(classes))
    log.info("%s pictures", sizes)
    return found


def _root(options: Options) -> Path:
    """The folder of the pictures on this machine."""
    here, data = SharedFolder(options.cache).here, options.data
    if data is None:
        return demo.make(here)
    if isinstance(data, ObjectPath):
        return fetch_folder(data)
    return archives.unpacked(data, here) if data.is_file() else data


def _list(path: Path, root: Path) -> Path:
    """A list of labels: where the user stands, else in the folder of the pictures."""
    inside = root / path
    return inside if not path.exists() and inside.exists() else path


def of_run(folder: RunFolder, image_size: int, levels: Levels | None) -> Dataset:
    """The pictures of a run that is over, divided as they were.

    Args:
        folder: The run folder.
        image_size: Side in pixels of the pictures as trials saw them.
        levels: The scale of pictures of more than 8 bits, if they had so many.

    Raises:
        UserError: If the pictures, or what is written of them, are gone.
    """
    saved = settings.read(folder.settings)
    known = {name: saved[name] for name in OPTIONS if name in saved}
    options = Options(**known, image_size=image_size)
    return load(options, levels, folder.division if folder.division.exists() else None)
