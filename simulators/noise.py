"""Random numbers that are a function of where they are used: (seed, stream, object, tick) -> number, no state.

A stateful generator would make a value depend on how the day was cut into pieces and on who was asked before. Here the city's value at
one device and moment is the same in every run, in any order, at any speed; a second run of the same day sends the very same readings.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Noise:
    """Streams of random numbers of one seed. `stream` names what the number is for; `key` and `tick` are integers, broadcast together."""

    def __init__(self, seed: int) -> None:
        self._seed = np.uint64(seed & 0xFFFF_FFFF_FFFF_FFFF)

    def uniform(self, stream: str, key: Ints | int, tick: Ints | int = 0) -> Floats:
        """Numbers in [0, 1)."""
        return (self._bits(stream, key, tick) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, stream: str, key: Ints | int, tick: Ints | int = 0) -> Floats:
        """Standard normal numbers (Box and Muller 1958, the cosine branch)."""
        bits = self._bits(stream, key, tick)
        first = ((bits >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32
        second = (bits & np.uint64(0xFFFF_FFFF)).astype(np.float64) * 2.0**-32
        return np.asarray(np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second), dtype=np.float64)

    def smooth(self, stream: str, key: Ints | int, time_s: Floats, period_s: float) -> Floats:
        """A curve through standard normal numbers `period_s` apart (value noise with a cosine blend); its variance lies in [0.5, 1]."""
        position = time_s / period_s
        tick = np.floor(position).astype(np.int64)
        blend = 0.5 - 0.5 * np.cos(np.pi * (position - tick))
        return self.normal(stream, key, tick) * (1.0 - blend) + self.normal(stream, key, tick + 1) * blend

    def _bits(self, stream: str, key: Ints | int, tick: Ints | int) -> npt.NDArray[np.uint64]:
        with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is the point
            start = self._seed * _GOLDEN + np.uint64(zlib.crc32(stream.encode()))
            mixed = _splitmix(start + np.asarray(key, dtype=np.int64).astype(np.uint64) * _MIX_2)
            return _splitmix(mixed + np.asarray(tick, dtype=np.int64).astype(np.uint64) * _GOLDEN)


def _splitmix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return np.asarray(value ^ (value >> np.uint64(31)), dtype=np.uint64)
