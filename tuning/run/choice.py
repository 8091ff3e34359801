"""What a study chooses from: fixed before its first proposal, and kept when it is resumed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from search_spaces.experiments import BACKBONE
from search_spaces.levers import VERSIONS
from tuning.errors import UserError
from tuning.options import Options
from tuning.records import facts
from tuning.records.facts import Screened
from tuning.run.prepare import Prepared
from tuning.scheduling.limits import UNLIMITED, Machine, available, limits
from tuning.scheduling.space import LeverSpace, Space
from tuning.wording import duration

log = logging.getLogger(__name__)


def choose(
    prepared: Prepared, machine: Machine | None, screening: Sequence[Screened]
) -> facts.Space:
    """The choice of a new run; says what the machine is too slow for.

    Args:
        prepared: What the run begins with.
        machine: The machine that trials run on, None where nothing depends on it.
        screening: What was seen of several frozen networks.
    """
    options, space = prepared.options, prepared.space
    networks = [each["name"] for each in screening if each["searched"]]
    if networks and isinstance(space, LeverSpace):
        space = space.of(networks)
    found = limits(options, space, machine) if machine else []
    if machine and found:
        time = duration(available(options) or UNLIMITED)
        log.info(
            "At %.0f GFLOP/s a search of %s keeps to %s; --set and --max-unfrozen widen it",
            *(machine.rate / 1e9, time, " ".join(found)),
        )
    experiments = space.experiments(*([options.experiments] if options.experiments else []))
    # They are VGG16's, whatever else is searched.
    if options.no_experiments or not any(each.name == BACKBONE for each in prepared.sources):
        experiments = []
    return {
        "name": options.space if isinstance(space, LeverSpace) else "hypermodel",
        "version": VERSIONS[options.space] if isinstance(space, LeverSpace) else 1,
        "limits": found,
        "rate": machine.rate if machine else None,
        "experiments": [each.name for each in experiments],
        "networks": list(space.depths) if isinstance(space, LeverSpace) else [],
    }


def within(space: Space, chosen: facts.Space | None) -> Space:
    """The space as it was chosen; None: by a version that fixed nothing."""
    if not chosen or not isinstance(space, LeverSpace):
        return space
    return space.of(chosen.get("networks", list(space.depths))).within(chosen["limits"])


def check_version(options: Options, chosen: facts.Space | None) -> None:
    """Looks whether more trials of a run can be proposed.

    Raises:
        UserError: If its space has other hyperparameters by now.
    """
    version = chosen["version"] if chosen else 1
    if options.hypermodel is None and version != VERSIONS[options.space]:
        raise UserError(
            f"The run {options.name} was begun in version {version} of the space {options.space}, "
            f"which is version {VERSIONS[options.space]} now; it is reported and predicted with, "
            "but for more trials start a new run from its best points: "
            f"--extend {options.name}."
        )
