"""Round numbers for axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
# rounding of the last digits must not lose a tick at the end of an axis
SLACK = 1e-9


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers with the round ones among them.

    Attributes
    ----------
    low, high : float
        The ends, low < high; both above 0 where `log`.
    ticks : list of float
        Increasing, within the ends.
    log : bool
    """

    low: float
    high: float
    ticks: list[float]
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one; values beyond an end lie on it."""
        if self.log:
            value = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            value = (value - self.low) / (self.high - self.low)
        return min(max(value, 0.0), 1.0)

    @property
    def labels(self) -> list[str]:
        """One text a tick, with as many digits as tell neighbours apart."""
        if self.log:
            return [short(tick, digits_of(tick)) for tick in self.ticks]
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else self.high - self.low
        return [short(tick, digits_of(step)) for tick in self.ticks]


def linear(low: float, high: float, wanted: int = 5, *, whole: bool = False, widen: bool = True) -> Axis:
    """An axis over [low, high] with about `wanted` ticks a round step apart.

    Parameters
    ----------
    low, high : float
    wanted : int
        There are at most this many steps between ticks.
    whole : bool
        No tick between whole numbers: for counts.
    widen : bool
        Whether the ends move out to the next ticks.

    Examples
    --------
    >>> linear(0, 0.87).ticks
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> linear(0, 2, whole=True).labels
    ['0', '1', '2']
    """
    if not high > low or (high - low) <= 1e-12 * max(abs(low), abs(high)):
        room = abs(low) / 2 or 1.0
        low, high = low - room, high + room
    step = round_up((high - low) / wanted)
    if whole:
        step = max(1.0, math.ceil(step))
    first = math.floor(low / step + SLACK) if widen else math.ceil(low / step - SLACK)
    last = math.ceil(high / step - SLACK) if widen else math.floor(high / step + SLACK)
    digits = digits_of(step) + 1
    ticks = [round(k * step, digits) + 0.0 for k in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], ticks) if widen else Axis(low, high, ticks)


def logarithmic(low: float, high: float) -> Axis:
    """An axis over positive numbers that ends at 1, 2 or 5 times powers of ten, which are its ticks.

    Where it spans a hundred times or more, only the powers of ten are.

    Examples
    --------
    >>> logarithmic(1, 400).labels
    ['1', '10', '100']
    >>> logarithmic(1, 30).labels
    ['1', '2', '5', '10', '20', '50']
    """
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    marks = [factor * 10.0**power for power in powers for factor in (1.0, 2.0, 5.0)]
    first = max(k for k, mark in enumerate(marks) if mark <= low * (1 + SLACK))
    last = min(k for k, mark in enumerate(marks) if mark >= high * (1 - SLACK))
    marks = marks[first : max(last, first + 1) + 1]
    tens = [mark for mark in marks if f"{mark:e}".startswith("1.000000e")]
    return Axis(marks[0], marks[-1], tens if marks[-1] / marks[0] >= 100 else marks, log=True)


def round_up(value: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below a value > 0."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - SLACK))


def digits_of(step: float) -> int:
    """Digits after the point that write multiples of a round step exactly."""
    digits = max(0, -math.floor(math.log10(abs(step)) + SLACK)) if step else 0
    return digits if abs(round(step, digits) - step) <= abs(step) * 1e-6 else digits + 1


def short(value: float, digits: int = 0) -> str:
    """A number for an axis: thousands separated, millions as M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value:,.{digits}f}"
