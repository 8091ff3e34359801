"""Which of several frozen networks are worth a search: a linear head on the features of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from models.backbones import Backbone
from models.units import PICTURE
from tuning.cluster import prebuild
from tuning.cluster.resources import Resources
from tuning.evaluation import metrics
from tuning.evaluation.frozen_head import fit
from tuning.evaluation.intervals import interval
from tuning.records.facts import Screened
from tuning.run.prepare import Prepared
from tuning.training.context import TrialContext
from tuning.training.moments import pooled
from tuning.wording import count, duration, percent
from tuning.wording import interval as in_words

MOST = 2  # that are searched

log = logging.getLogger(__name__)


def screen(
    prepared: Prepared,
    context: TrialContext,
    share: Resources,
    watch: Callable[[int, int], None],
    stop: Callable[[], bool],
) -> list[Screened]:
    """Passes the pictures through each network that may be searched; the best are.

    Their features are those that the search begins with, so nothing of it is lost.

    Args:
        prepared: What the run begins with.
        context: What all trials share.
        share: What each process gets that computes features.
        watch: The listener that is told how many pictures have gone through, and how many will.
        stop: The question whether to end here.

    Returns:
        A row for each network, the best first.
    """
    pictures = count(len(context.dataset.train) + len(context.dataset.validation), "picture")
    found = []
    for each in prepared.searched:
        began = time.monotonic()
        log.info("%s looks at %s", each.title, pictures)
        point = prepared.space.complete(
            {"network": each.name, "unfrozen": 0, "augmentation": "none"}
        )
        prebuild.build(context, [point], share, watch, stop)
        row = _row(each, point, context, began)
        log.info(
            "%s: %s of the validation pictures by a linear head on frozen features (%s), %s",
            *(
                each.title,
                percent(row["accuracy"]),
                in_words(row["interval"]),
                duration(row["seconds"]),
            ),
        )
        found.append(row)
    # Of equals the one that costs less.
    found.sort(key=lambda row: (-row["score"], row["flops"]))
    for row in found[:MOST]:
        row["searched"] = True
    return found


def _row(network: Backbone, point: dict[str, Any], context: TrialContext, began: float) -> Screened:
    """What a linear head on a network's features can."""
    data, backbone = context.dataset, context.backbone_for(point)
    assert backbone is not None
    train, validation = (
        pooled(context.cache.features(split, backbone, backbone.top))
        for split in (data.train, data.validation)
    )
    said = fit(train, data.train.labels, len(data.classes))(validation)
    labels = data.validation.labels
    accuracy = metrics.score("accuracy", said, labels, data.classes)
    return {
        "name": network.name,
        "title": network.title,
        "parameters": network.parameters(),
        "flops": network.flops(PICTURE, network.top),
        "accuracy": accuracy,
        "interval": interval(accuracy, len(labels)),
        "score": metrics.score(context.metric, said, labels, data.classes),
        "seconds": time.monotonic() - began,
        "searched": False,
    }
