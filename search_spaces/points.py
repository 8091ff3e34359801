"""Points of a space: hyperparameters that are answered, or given in part and completed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from search_spaces.answers import Answers
from search_spaces.constraints import WHOLE, ConstraintError, Constraints, unknown
from search_spaces.domain import written

Result = TypeVar("Result")


class Given(Answers):
    """HyperParameters of which a point gives some; the others take their defaults.

    Args:
        point: Values by name.
        constraints: What the space is narrowed to. A default outside gives way to the first value
            that is left.
    """

    def __init__(self, point: Mapping[str, Any], constraints: Constraints = WHOLE) -> None:
        super().__init__()
        self.point = point
        self.constraints = constraints

    def answer(self, hp: kinds.HyperParameter) -> Any:
        """See the class; raises ConstraintError for a value outside."""
        domain = self.constraints.domain(hp)
        if hp.name in self.point:
            try:
                return domain.own(self.point[hp.name])
            except ValueError:
                value = written(self.point[hp.name])
                raise ConstraintError(f"{hp.name}={value}: {hp.name} is {domain}") from None
        if hp.name not in self.constraints.by_name:
            return hp.default
        try:
            return domain.own(hp.default)
        except ValueError:
            return domain.first


def complete(
    space: Callable[[keras_tuner.HyperParameters], Result],
    point: Mapping[str, Any],
    constraints: Constraints = WHOLE,
) -> Result:
    """What a space makes of a point that gives some of its hyperparameters.

    Given values that do not matter beside the others (of layers that are not there, say) are
    passed over.

    Raises:
        ConstraintError: If the space has no hyperparameter of a name, or not the value.
    """
    hp = Given(point, constraints)
    result = space(hp)
    known = [each.name for each in hp.space]
    for name in point:
        if name not in known:
            raise ConstraintError(unknown(name, dict.fromkeys(known)))
    return result
