"""Slow, plain Python definitions of every kernel: exact fractions, sorted lists, one value at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

Reference = Callable[[Sequence[float]], float]


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean in exact fractions."""
    return float(sum(map(Fraction, values)) / len(values))


def std(values: Sequence[float]) -> float:
    """Population standard deviation; the variance is an exact fraction before its root is taken."""
    exact = [Fraction(value) for value in values]
    middle = sum(exact, Fraction()) / len(exact)
    squares = [(value - middle) * (value - middle) for value in exact]
    return root(sum(squares, Fraction()) / len(exact))


def root(square: Fraction) -> float:
    """Square root of a fraction whose float may overflow or vanish."""
    if square == 0:
        return 0.0
    scale = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(square / Fraction(4) ** scale), scale)


def lower_quantile(percent: int) -> Reference:
    """The order statistic of rank floor(percent (n-1) / 100)."""

    def at(values: Sequence[float]) -> float:
        return sorted(values)[percent * (len(values) - 1) // 100]

    return at


def circular_mean(degrees: Sequence[float]) -> float:
    """Direction of the sum of unit vectors, 0 <= x < 360; NaN where they cancel out."""
    east = math.fsum(math.sin(math.radians(angle)) for angle in degrees)
    north = math.fsum(math.cos(math.radians(angle)) for angle in degrees)
    if math.hypot(east, north) < 1e-9 * len(degrees):
        return math.nan
    return math.degrees(math.atan2(east, north)) % 360.0


def leq(levels: Sequence[float]) -> float:
    """10 log10 of the mean power, relative to the loudest."""
    loudest = max(levels)
    powers = [10.0 ** ((level - loudest) / 10.0) for level in levels]
    return loudest + 10.0 * math.log10(math.fsum(powers) / len(powers))


def increase(values: Sequence[float], before: float = math.nan) -> float:
    """What a counter gained: each rise, and after each fall the whole value; the first reading of all gains nothing."""
    steps = []
    for value in values:
        if not math.isnan(before):
            steps.append(value - before if value >= before else value)
        before = value
    return math.fsum(steps)
