"""All that can be known, and found wrong, before anything of a run is written."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.backbones import Backbone
from tuning.cluster.joining import computes_on_gpus
from tuning.data.dataset import Dataset
from tuning.data.decoding import Levels
from tuning.data.folds import most_folds
from tuning.errors import UserError
from tuning.evaluation import metrics
from tuning.export import formats
from tuning.files.object_store import ObjectPath
from tuning.options import Options
from tuning.process.backend import choose, import_keras
from tuning.records import metadata
from tuning.records.run_folder import RunFolder
from tuning.run import backbones
from tuning.scheduling import loggers
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.space import Space, build_space
from tuning.scheduling.storages import Storage, open_storage
from tuning.scheduling.warm_start import best_points, earlier_study
from tuning.training import pictures
from tuning.training.context import NamedHyperModel, PickledHyperModel
from tuning.training.source import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What a run begins with.

    Attributes:
        options: What the user asked for.
        dataset: The pictures.
        sources: Where the frozen networks are from that are searched, and then VGG16 where the
            article's experiments have it beside others.
        networks: The same, read.
        hypermodel: The HyperModel that is searched in place of the levers.
        space: The space that is searched.
        folder: The run folder; it may not be there yet.
        resumed: Whether the user wants to go on with a run.
        metric: What the search goes by, see `evaluation.metrics`.
        storage: The storage of the study, None for that in the run folder.
    """

    options: Options
    dataset: Dataset
    sources: tuple[Source, ...]
    networks: tuple[Backbone, ...]
    hypermodel: NamedHyperModel | PickledHyperModel | None
    space: Space
    folder: RunFolder
    resumed: bool
    metric: str
    storage: Storage | None = None

    @property
    def searched(self) -> tuple[Backbone, ...]:
        """The networks that are searched."""
        return self.networks[: len(self.options.backbone)]


def prepare(options: Options, resumed: bool = False) -> Prepared:
    """Looks at everything that a run needs.

    Raises:
        UserError: What is wrong, in one line.
    """
    folder = RunFolder(options.folder.resolve(), options.counterpart)
    check_stores(options, folder, resumed)
    if not resumed:
        check_name(options, folder)
    hypermodel = pickle_hypermodel(options.hypermodel)
    sources = backbones.sources(options, _backbones(options, hypermodel))
    choose(lambda: options.gpus_per_trial != 0 and computes_on_gpus(options.address))
    if options.image_size is None:
        import_keras()
        options = replace(options, image_size=backbones.image_size(sources))
    divided = folder.division if resumed and folder.division.exists() else None
    data = pictures.load(options, _scale(options, folder), divided)
    if options.folds is not None and options.folds > (most := most_folds(data)):
        raise UserError(
            f"--folds {options.folds} wants a picture of each class in each fold, but the smallest "
            f"class has {most} beside the test split; ask for at most {most}."
        )
    import_keras(tuner=True)
    formats.check_formats(options.export)
    loggers.check(options.log, options.dashboard)
    build_sampler(options.sampler, options.seed)
    sources, networks = _networks(options, sources, data.image_size)
    searched = networks[: len(options.backbone)]
    depths = {each.name: len(each.units) for each in searched}
    random = any(each.weights.source == "random" for each in searched)
    features = networks[0].shape(networks[0].top) if networks else None
    space = build_space(options, data, depths, random, hypermodel, features)
    space.first_points(options)
    if options.extend and not resumed:
        best_points(options, space)
    if options.warm_start and not resumed:
        earlier_study(options.warm_start)
    metric = _metric(options, data, folder if resumed else None)
    storage = open_storage(options.storage) if options.storage else None
    return Prepared(
        options, data, sources, networks, hypermodel, space, folder, resumed, metric, storage
    )


def check_stores(options: Options, folder: RunFolder, resumed: bool) -> None:
    """Looks whether object stores can be used.

    Raises:
        UserError: If one cannot, or holds a run of this name.
    """
    for place in (options.cache, options.runs):
        if isinstance(place, ObjectPath):
            place.check()
    store = folder.counterpart
    if store and not resumed and (store / folder.settings.name).exists():
        raise UserError(
            f"There is a run {store} already; choose another --name, or go on with it: "
            f"--resume {folder.name}."
        )


def check_name(options: Options, folder: RunFolder) -> None:
    """Looks whether a new run may have this name: an empty run's can be used again.

    Raises:
        UserError: If a run has it already, or something else lies there.
    """
    foreign = folder.path.exists() and not folder.settings.exists() and not _only_lock(folder.path)
    if foreign or not folder.is_empty:
        raise UserError(
            f"The run folder {options.folder} is there already; choose another --name, or go on "
            f"with it: --resume {options.name}."
        )


def _metric(options: Options, data: Dataset, earlier: RunFolder | None) -> str:
    """What the search goes by; a run that is resumed keeps to what it began with.

    Raises:
        UserError: If there is no such class.
    """
    if earlier is not None and not earlier.is_empty:
        with suppress(UserError):
            return metadata.read(earlier).get("metric", "accuracy")
    counts = [data.counts()["train"][name] for name in data.classes]
    metric = metrics.choose(options.metric, data.classes, counts)
    if options.metric is None and metric != "accuracy":
        log.warning(
            "The largest class has %.1f times the training pictures of the smallest: the search "
            "goes by balanced accuracy, the mean share of each class that is recognised "
            "(--metric accuracy: by all pictures alike)",
            max(counts) / min(counts),
        )
    return metric


def _only_lock(path: Path) -> bool:
    return path.is_dir() and all(each.name == ".lock" for each in path.iterdir())


def _scale(options: Options, folder: RunFolder) -> Levels | None:
    """The scale of pictures of more than 8 bits in the run that is extended."""
    if options.extend is None:
        return None
    # What is resumed has it as well, and may be alone by now.
    for run in (folder, RunFolder(options.folder.parent / options.extend)):
        with suppress(UserError):
            levels = metadata.read(run)["data"].get("levels")
            return Levels(*levels) if levels else None
    return None


def _backbones(
    options: Options, hypermodel: NamedHyperModel | PickledHyperModel | None
) -> tuple[str, ...]:
    """The frozen networks that are asked for, as --backbone takes them.

    Raises:
        UserError: If the HyperModel cannot be had, or has none that can.
    """
    if hypermodel is None:
        return options.backbone
    import_keras()
    from tuning.training.hypermodel import backbone_of

    own = backbone_of(hypermodel)
    return (own,) if own else ()


def _networks(
    options: Options, sources: tuple[Source, ...], image_size: int
) -> tuple[tuple[Source, ...], tuple[Backbone, ...]]:
    """The frozen networks; see `Prepared`.

    Raises:
        UserError: If one cannot be had, or no network has the layer of --store-from.
    """
    if options.experiments == ("convnet",) or not sources:
        return sources, ()  # never asked for
    both = [*sources, *backbones.beside(options, sources)]
    pairs = [backbones.loaded(options, each, image_size) for each in both]
    layer, found = options.store_from, tuple(each for _, each in pairs)
    if layer and not any(each.graph.frontier_above(layer) for each in found):
        raise UserError(
            f"--store-from {layer}: {found[0].name} has no such layer; it can be cut behind "
            f"{', '.join(found[0].frontiers[1:])}."
        )
    return tuple(source for source, _ in pairs), found


def pickle_hypermodel(given: Any) -> NamedHyperModel | PickledHyperModel | None:
    """What workers load a HyperModel from: its name, or the object itself by value."""
    if given is None:
        return None
    if isinstance(given, str):
        return NamedHyperModel(given, os.getcwd())
    from tuning.scheduling.by_value import pickle_by_value

    return PickledHyperModel(pickle_by_value(given))
