"""The values that one KerasTuner hyperparameter may take: a few, or a range."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_tuner.engine import hyperparameters as kinds


@dataclass(frozen=True)
class Values:
    """A few values, in order."""

    options: tuple[Any, ...]

    def own(self, value: Any) -> Any:
        """The option that equals `value`; raises ValueError if there is none."""
        for option in self.options:
            if isinstance(option, str) == isinstance(value, str) and _equal(option, value):
                return option
        raise ValueError(f"{value!r} is not {self}")

    def read(self, text: str) -> Any:
        """The option that is written so; raises ValueError if there is none."""
        for option in self.options:
            if isinstance(option, str) and option == text:
                return option
        return self.own(literal(text))

    def within(self, low: float, high: float) -> Values | None:
        """The numbers among them from `low` to `high`, None if there are none."""
        numbers = [each for each in self.options if not isinstance(each, (str, bool))]
        inside = tuple(each for each in numbers if low <= each <= high)
        return Values(inside) if inside else None

    @property
    def first(self) -> Any:
        """The first of them."""
        return self.options[0]

    @property
    def single(self) -> bool:
        """Whether there is no choice."""
        return len(self.options) == 1

    def __str__(self) -> str:
        words = [written(each) for each in self.options]
        return words[0] if self.single else f"one of {', '.join(words)}"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: The least.
        high: The greatest; in steps from `low`.
        step: The distance between two of them, None where all numbers between are meant.
        whole: Whether they are integers.
        log: Whether they, or their mirrored values, are drawn evenly on a logarithmic scale.
        mirror: Sum of a value and its mirrored value, None where nothing is mirrored.
    """

    low: float
    high: float
    step: float | None = None
    whole: bool = False
    log: bool = False
    mirror: float | None = None

    def own(self, value: Any) -> Any:
        """`value` in the range's number type; raises ValueError if it is not inside."""
        kinds = int if self.whole else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value):
            # What is computed in floating point may miss an end or a step by a rounding error.
            slack = 0.0 if self.whole else 1e-9 * max(abs(self.low), abs(self.high))
            steps = (value - self.low) / self.step if self.step else 0.0
            if self.low - slack <= value <= self.high + slack and abs(steps - round(steps)) < 1e-6:
                return int(value) if self.whole else float(min(max(value, self.low), self.high))
        raise ValueError(f"{value!r} is not {self}")

    def read(self, text: str) -> Any:
        """The number that is written so; raises ValueError if it is not inside."""
        return self.own(literal(text))

    def within(self, low: float, high: float) -> Range | None:
        """The part from `low` to `high`, None if nothing is left."""
        first: Any = max(self.low, low)
        last: Any = min(self.high, high)
        if self.step and first <= last:
            # In decimals, since in binary 1.0 is less than ten steps of 0.1.
            start, step = Decimal(str(self.low)), Decimal(str(self.step))
            least, most = Decimal(str(first)), Decimal(str(last))
            first = start + (least - start) // step * step
            first += step if first < least else 0
            last = start + (most - start) // step * step
        if first > last:
            return None
        return replace(self, low=self._number(first), high=self._number(last))

    @property
    def first(self) -> Any:
        """The least of them."""
        return self._number(self.low)

    @property
    def single(self) -> bool:
        """Whether there is no choice."""
        return self.low == self.high

    def _number(self, value: Any) -> Any:
        return int(value) if self.whole else float(value)

    def __str__(self) -> str:
        ends = f"from {written(self.low)} to {written(self.high)}"
        if self.whole:
            return f"a whole number {ends}" + (
                f" in steps of {self.step}" if self.step != 1 else ""
            )
        return f"a number {ends}" + (f" in steps of {written(self.step)}" if self.step else "")


Domain = Values | Range


def build_domain(hp: kinds.HyperParameter) -> Domain:
    """What KerasTuner itself would sample.

    Raises:
        ValueError: If the hyperparameter is of a kind that KerasTuner does not have.
    """
    from keras_tuner.engine import hyperparameters as kinds

    if isinstance(hp, kinds.Fixed):
        return Values((hp.value,))
    if isinstance(hp, kinds.Boolean):
        return Values((False, True))
    if isinstance(hp, kinds.Choice):
        return Values(tuple(dict.fromkeys(hp.values)))
    if not isinstance(hp, (kinds.Int, kinds.Float)):
        raise ValueError(f"The kind of {hp.name!r} is {type(hp).__name__}, which is not known.")
    whole, log = isinstance(hp, kinds.Int), hp.sampling != "linear"
    if log and hp.step is not None:
        # Steps that multiply leave few values.
        return Values(tuple(sorted((int if whole else float)(value) for value in hp.values)))
    step = 1 if whole and log else hp.step
    # KerasTuner's formula of `reverse_log`: least and greatest change places.
    mirror = hp.min_value + hp.max_value if hp.sampling == "reverse_log" else None
    domain = Range(hp.min_value, hp.max_value, step, whole, log, mirror)
    # The greatest value that steps reach.
    return domain.within(hp.min_value, hp.max_value) or domain


def _equal(one: Any, other: Any) -> bool:
    # A value that was computed in steps may miss what is written by a rounding error.
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def literal(text: str) -> Any:
    """`3`, `0.5`, `true` as what they mean; other text as it is."""
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def written(value: Any) -> str:
    """A value as `read` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
