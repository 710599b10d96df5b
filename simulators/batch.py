"""Messages on their way out, as columns: what is sent when, and which readings each message stands for."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulators.noise import Ints


class Expect(enum.IntEnum):
    """What must become of a reading that the broker has acknowledged."""

    STORED = 0  # once, with this value; a second STORED row of the same key must be told a duplicate
    DEAD_LETTER = 1  # broken on purpose
    IGNORED = 2  # no reading and no reject


class Names:
    """Device and metric names of one run as codes, in order of first use; what is new since the last look goes into the ledger."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        """The code of a name, given on first use."""
        return self._codes.setdefault(name, len(self._codes))

    def codes(self, names: Iterable[str]) -> npt.NDArray[np.int32]:
        """Codes of many names."""
        return np.fromiter((self.code(name) for name in names), dtype=np.int32)

    def since(self, first: int) -> list[str]:
        """Names from code `first` on."""
        return list(self._codes)[first:]

    def __len__(self) -> int:
        return len(self._codes)


@dataclass(frozen=True, slots=True)
class Batch:
    """m messages with r readings, ordered by `due_us`.

    due_us int64[m]: event time at which the message leaves. first int64[m + 1]: message i holds the rows first[i] .. first[i + 1] - 1.
    device, metric int32[r] are codes of the run's names; time_us int64[r]; value float64[r] (canonical unit); expect uint8[r].
    """

    due_us: Ints
    topics: Sequence[str]
    payloads: Sequence[bytes]
    first: Ints
    device: npt.NDArray[np.int32]
    metric: npt.NDArray[np.int32]
    time_us: Ints
    value: npt.NDArray[np.float64]
    expect: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.due_us)

    @property
    def readings(self) -> int:
        """Rows of all messages."""
        return len(self.time_us)

    def take(self, index: Ints) -> Batch:
        """The messages at `index`, in that order."""
        counts = (self.first[1:] - self.first[:-1])[index]
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(first[-1]) - np.repeat(first[:-1], counts) + np.repeat(self.first[:-1][index], counts)
        return Batch(
            due_us=self.due_us[index],
            topics=[self.topics[i] for i in index],
            payloads=[self.payloads[i] for i in index],
            first=first,
            device=self.device[rows],
            metric=self.metric[rows],
            time_us=self.time_us[rows],
            value=self.value[rows],
            expect=self.expect[rows],
        )

    def cut(self, start: int, stop: int) -> Batch:
        """The messages start .. stop - 1; arrays are views."""
        low, high = int(self.first[start]), int(self.first[stop])
        return Batch(
            due_us=self.due_us[start:stop],
            topics=self.topics[start:stop],
            payloads=self.payloads[start:stop],
            first=self.first[start : stop + 1] - low,
            device=self.device[low:high],
            metric=self.metric[low:high],
            time_us=self.time_us[low:high],
            value=self.value[low:high],
            expect=self.expect[low:high],
        )

    def split(self, before_us: int | None) -> tuple[Batch, Batch]:
        """The messages due before a moment, and the rest; None takes all."""
        at = len(self) if before_us is None else int(np.searchsorted(self.due_us, before_us))
        return self.cut(0, at), self.cut(at, len(self))

    @classmethod
    def empty(cls) -> Batch:
        """No message."""
        return batch_of([], [], [], np.zeros(1, np.int64), Rows.empty())

    @classmethod
    def merge(cls, parts: Sequence[Batch]) -> Batch:
        """All messages of `parts` ordered by due time; equal times keep the order of the parts."""
        filled = [part for part in parts if len(part)]
        if not filled:
            return cls.empty()
        if len(filled) == 1:
            return filled[0]
        ends = np.cumsum([0, *(part.readings for part in filled)])
        joined = cls(
            due_us=np.concatenate([part.due_us for part in filled]),
            topics=[topic for part in filled for topic in part.topics],
            payloads=[payload for part in filled for payload in part.payloads],
            first=np.concatenate(
                [[0], *(part.first[1:] + end for part, end in zip(filled, ends, strict=False))]
            ).astype(np.int64),
            device=np.concatenate([part.device for part in filled]),
            metric=np.concatenate([part.metric for part in filled]),
            time_us=np.concatenate([part.time_us for part in filled]),
            value=np.concatenate([part.value for part in filled]),
            expect=np.concatenate([part.expect for part in filled]),
        )
        return joined.take(np.argsort(joined.due_us, kind="stable"))


@dataclass(frozen=True, slots=True)
class Rows:
    """The readings' columns of a batch in the making; see `Batch`."""

    device: npt.NDArray[np.int32]
    metric: npt.NDArray[np.int32]
    time_us: Ints
    value: npt.NDArray[np.float64]
    expect: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls) -> Rows:
        """No reading."""
        return cls(
            np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8)
        )


def batch_of(
    due_us: Sequence[int] | Ints, topics: Sequence[str], payloads: Sequence[bytes], counts: Ints, rows: Rows
) -> Batch:
    """Messages whose rows follow each other, in the order given. `counts` int64[m] (or a single 0 for no message)."""
    due = np.asarray(due_us, dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts[: len(due)])]).astype(np.int64)
    return Batch(due, topics, payloads, first, rows.device, rows.metric, rows.time_us, rows.value, rows.expect)
