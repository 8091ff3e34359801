"""Parts of a space: hyperparameters that are pinned, or kept to a range or to some values.

On the command line, and in a settings file:

    dropout=0.5                 dropout = 0.5                       this value
    unfrozen=0:4                unfrozen = "0:4"                    from 0 to 4, both included
    head_rate=1e-4:             head_rate = "1e-4:"                 from 1e-4 on
    augmentation=none,flip      augmentation = ["none", "flip"]     these values

What is said of a hyperparameter that exists in some trials only counts where it exists.
"""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces import domain
from search_spaces.domain import Domain, Values, build_domain, literal

if TYPE_CHECKING:
    import keras_tuner
    from keras_tuner.engine import hyperparameters as kinds

RUNS = 12  # of a space at most, to learn which names it has


class ConstraintError(ValueError):
    """What a space has not: a name, or a value; in one line."""


@dataclass(frozen=True)
class Constraint:
    """What is said of one hyperparameter.

    Attributes:
        name: The hyperparameter's name.
        texts: Values as they were written.
        ends: Least and greatest number, where one text may be read as a range.
    """

    name: str
    texts: tuple[str, ...]
    ends: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"{self.name}={','.join(self.texts)}"

    def narrow(self, whole: Domain) -> Domain | None:
        """What is left of a domain, None for nothing."""
        found = [value for value in (self._read(whole, text) for text in self.texts) if value]
        if found:
            return Values(tuple(dict.fromkeys(value for (value,) in found)))
        return whole.within(*self.ends) if self.ends else None

    def holds(self, value: Any) -> bool:
        """Whether it allows this value."""
        if self.ends and not isinstance(value, (str, bool)):
            return bool(self.ends[0] <= value <= self.ends[1])
        return any(self._read(Values((value,)), text) for text in self.texts)

    def fault(self, domains: Sequence[Domain]) -> str | None:
        """What of it lies in none of the domains, in one line; None for nothing."""
        may = " or ".join(dict.fromkeys(map(str, domains)))
        for text in self.texts:
            if any(self._read(each, text) for each in domains):
                continue
            outside = [text]
            if self.ends:
                ends = [end for end in self.ends if math.isfinite(end)]
                outside = [f"{end:g}" for end in ends if not any(map(_span(end), domains))]
                if not outside and not any(each.within(*self.ends) for each in domains):
                    outside = [text]
            if outside:
                return f"{self}: {self.name} is {may}, not {outside[0]}"
        return None

    @staticmethod
    def _read(whole: Domain, text: str) -> tuple[Any] | None:
        try:
            return (whole.read(text),)
        except ValueError:
            return None


def _span(number: float) -> Callable[[Domain], bool]:
    """Whether a number lies between the least and the greatest of a domain."""

    def lies(whole: Domain) -> bool:
        if not isinstance(whole, Values):
            return whole.low <= number <= whole.high
        numbers = [each for each in whole.options if not isinstance(each, (str, bool))]
        return bool(numbers) and min(numbers) <= number <= max(numbers)

    return lies


@dataclass(frozen=True)
class Constraints:
    """All that is said of a space; by itself, nothing.

    Attributes:
        by_name: The constraint of each hyperparameter that has one.
    """

    by_name: Mapping[str, Constraint] = field(default_factory=dict)

    def domain(self, hp: kinds.HyperParameter) -> Domain:
        """The values that are left to a hyperparameter.

        Raises:
            ConstraintError: If there are none.
        """
        whole = build_domain(hp)
        constraint = self.by_name.get(hp.name)
        if constraint is None:
            return whole
        left = constraint.narrow(whole)
        if left is None:
            raise ConstraintError(f"{constraint}: {hp.name} is {whole}{_where(hp)}")
        return left

    def allows(self, hyperparameters: Mapping[str, Any]) -> bool:
        """Whether all values of a point lie inside."""
        return all(
            constraint.holds(hyperparameters[name])
            for name, constraint in self.by_name.items()
            if name in hyperparameters
        )

    @property
    def fixed(self) -> dict[str, Any]:
        """The hyperparameters that are pinned, with their values."""
        return {
            name: literal(constraint.texts[0])
            for name, constraint in self.by_name.items()
            if len(constraint.texts) == 1 and not constraint.ends
        }


WHOLE = Constraints()  # a space as it is


def parse_constraints(texts: Sequence[str]) -> Constraints:
    """What the command line says, `NAME=VALUE` each; of two on one name the later counts.

    Raises:
        ConstraintError: If one is not of this form.
    """
    by_name = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise ConstraintError(
                f"{text}: not of the form NAME=VALUE, NAME=VALUE,VALUE or NAME=LOW:HIGH"
            )
        by_name[name] = _constraint(name, value.split(","))
    return Constraints(by_name)


def _constraint(name: str, items: Iterable[str]) -> Constraint:
    constraint = Constraint(name, tuple(item.strip() for item in items))
    if not all(constraint.texts) or not constraint.texts:
        raise ConstraintError(f"{constraint}: a value is missing")
    low, colon, high = constraint.texts[0].partition(":")
    ends = literal(low) if low else -math.inf, literal(high) if high else math.inf
    if len(constraint.texts) > 1 or not colon or any(isinstance(end, (str, bool)) for end in ends):
        return constraint
    if not ends[0] <= ends[1]:
        raise ConstraintError(f"{constraint}: {low} is above {high}")
    return Constraint(name, constraint.texts, ends)


def check_constraints(
    space: Callable[[keras_tuner.HyperParameters], Any], constraints: Constraints
) -> None:
    """Makes sure that a space has what is said of it.

    Args:
        space: The function that asks for a trial's hyperparameters; it may build a model.
        constraints: The constraints that the user gave.

    Raises:
        ConstraintError: The first name or value that it has not, with what it has.
    """
    known = _known(space, set(constraints.by_name))
    for name, constraint in constraints.by_name.items():
        if name not in known:
            raise ConstraintError(f"{constraint}: {unknown(name, known)}")
        fault = constraint.fault([build_domain(hp) for hp in known[name]])
        if fault:
            raise ConstraintError(fault)
    for name in constraints.by_name:
        for hp in known[name]:
            if _reachable(hp, known, constraints):
                constraints.domain(hp)


def unknown(name: str, known: Iterable[str]) -> str:
    """A line that there is no hyperparameter of this name, and which was meant."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no hyperparameter {name}; {hint}"


def _known(
    space: Callable[[keras_tuner.HyperParameters], Any], wanted: set[str]
) -> dict[str, list[kinds.HyperParameter]]:
    """What a space asks for, by name.

    One run shows all that stands in conditional scopes. A name may also depend on a value in other
    ways, as that of a layer on the number of layers does; while a wanted one is missing, runs with
    the greatest and with drawn values look for it.
    """
    from search_spaces.answers import Answers

    class Explorer(Answers):
        def answer(self, hp: kinds.HyperParameter) -> Any:
            if run == 0:
                return hp.default
            return hp.prob_to_value(0.999) if run == 1 else hp.prob_to_value(draws.random())

    draws = random.Random(0)
    known: dict[str, list[kinds.HyperParameter]] = {}
    idle = 0
    for run in range(RUNS):
        explorer = Explorer()
        try:
            space(explorer)
        except Exception:
            if run == 0:
                raise
            # Not every combination of values makes a model.
        before = len(known)
        for hp in explorer.space:
            others = known.setdefault(hp.name, [])
            if all(hp.get_config() != other.get_config() for other in others):
                others.append(hp)
        idle = 0 if len(known) > before else idle + 1
        if wanted <= set(known) or idle > 3:
            break
    return known


def _reachable(
    hp: kinds.HyperParameter,
    known: Mapping[str, Sequence[kinds.HyperParameter]],
    constraints: Constraints,
) -> bool:
    """Whether what is said of others leaves this one a condition that holds."""
    for condition in hp.conditions:
        constraint = constraints.by_name.get(condition.name)
        if constraint and not any(constraint.holds(value) for value in condition.values):
            return False
    return all(
        any(_reachable(parent, known, constraints) for parent in known[condition.name])
        for condition in hp.conditions
    )


def _where(hp: kinds.HyperParameter) -> str:
    """The conditions of a hyperparameter in words."""
    if not hp.conditions:
        return ""
    words = [
        f"{each.name} is {' or '.join(domain.written(value) for value in each.values)}"
        for each in hp.conditions
    ]
    return f" where {' and '.join(words)}"
