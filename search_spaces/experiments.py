"""The article's three experiments, faithful to it in every space: no sampler sees them.

"Building powerful image classification models using very little data" (F. Chollet, 2016). The
figures are the article's own words, and the best validation accuracy in the printed runs of its
code (2,000 training and 800 validation photos, 50 epochs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_spaces import levers

BACKBONE = "vgg16"  # whose features two of them have, whatever else is searched


@dataclass(frozen=True)
class Experiment:
    """One experiment of the article.

    Attributes:
        name: The name on the command line.
        title: The name as people read it.
        article: Validation accuracy in the article's words.
        article_accuracy: Best epoch's validation accuracy of the printed run.
        point: What it fixes in the space of levers.
    """

    name: str
    title: str
    article: str
    article_accuracy: float
    point: dict[str, Any]

    def hyperparameters(self, epochs: int) -> dict[str, Any]:
        """All of them, as a trial of `epochs` epochs has them in space `article`."""
        point = dict(self.point)
        if point.get("unfrozen"):
            point["head_epochs"] = epochs
        return levers.complete(point, epochs)


EXPERIMENTS = (
    Experiment(
        "convnet",
        "Small convnet from scratch",
        "75-80 %",
        0.810,
        {"network": "convnet", "augmentation": "article"},
    ),
    Experiment(
        "bottleneck",
        "Bottleneck features of VGG16",
        "90 %",
        0.91,
        {"network": "vgg16", "augmentation": "none", "unfrozen": 0},
    ),
    Experiment(
        "fine_tune",
        "Fine-tuning VGG16's last block",
        "93 %",
        0.941,
        {"network": "vgg16", "augmentation": "article", "unfrozen": 3, "fine_tune_rate": 1e-4},
    ),
)
NAMES = tuple(experiment.name for experiment in EXPERIMENTS)
