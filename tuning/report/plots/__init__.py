"""The report's figures, as Plotly makes them.

Optuna's own figures are not used: its slices and parallel coordinates leave out trials in which a
conditional lever does not exist, which are most of ours, and stand beside each other in one wide
figure that no phone can show.
"""

from __future__ import annotations

from tuning.records.facts import Facts
from tuning.report.plots.answered import answered
from tuning.report.plots.calibration import calibration
from tuning.report.plots.curves import curves, history
from tuning.report.plots.front import front
from tuning.report.plots.importances import importances
from tuning.report.plots.learning import learning
from tuning.report.plots.look import Plot
from tuning.report.plots.parallel import parallel
from tuning.report.plots.repeats import repeats
from tuning.report.plots.slices import slices
from tuning.report.plots.timeline import timeline

__all__ = ["Plot", "plots"]

MAKERS = (
    *(front, repeats, importances, slices, parallel, curves, history, calibration, answered),
    *(learning, timeline),
)


def plots(facts: Facts) -> list[Plot]:
    """Makes those figures that the search has enough trials for, in the order of the page."""
    return [plot for make in MAKERS for plot in make(facts)]
