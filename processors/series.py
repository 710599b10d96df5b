"""The series this process has met: names -> local index without a Python step per reading, and per series what windows need. Pure.

Memory: about 40 bytes a series, and per device its name plus 4 bytes for each of the catalogue's metrics (the pair table is dense:
a million series on 200,000 devices take about 55 MB of it; a dictionary of pairs would take 200 MB).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ingest.contract.reading import DEVICE_MAX_BYTES
from ingest.contract.sensor_kinds import METRICS, Metric
from ingest.contract.topics import partition_of
from processors.kernels.windows_of import SeriesMeta

METRIC_LIST: Final[tuple[Metric, ...]] = tuple(METRICS.values())
_METRIC_INDEX: Final = {metric.name: index for index, metric in enumerate(METRIC_LIST)}
WRONG_PARTITION: Final = -1
UNKNOWN_METRIC: Final = -2
BAD_DEVICE: Final = -3
NEVER_US: Final = -(1 << 62)
"""Earlier than any reading."""


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A row of city.series joined with its device."""

    series_id: int
    device_id: int
    device: str
    metric: str
    mean_kind: int
    interval_s: int
    partition: int


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A series that has a local index but no row in the database yet."""

    index: int
    device: str
    metric: Metric
    partition: int


class SeriesTable:
    """Interns (device, metric). A local series index stays valid for the life of the table; arrays grow by doubling.

    Not thread safe: one batch at a time resolves names.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._device_index: dict[str, int] = {}
        self.device_names: list[str] = []
        self._device_partition = np.empty(64, np.int32)
        self._pairs = np.full((64, len(METRIC_LIST)), -1, np.int32)
        self._waiting: list[int] = []
        self._by_id = np.full(64, -1, np.int32)
        self._size = 0
        self._columns: dict[str, npt.NDArray[Any]] = {
            "series_id": np.zeros(64, np.int32),
            "mean_kind": np.zeros(64, np.int8),
            "interval_s": np.zeros(64, np.int32),
            "device": np.zeros(64, np.int32),
            "device_id": np.zeros(64, np.int32),
            "metric": np.zeros(64, np.int16),
            "partition": np.zeros(64, np.int32),
            "loaded": np.zeros(64, np.bool_),
            "previous_time_us": np.full(64, NEVER_US, np.int64),
            "previous_value": np.full(64, np.nan),
            "last_time_us": np.full(64, NEVER_US, np.int64),
        }

    def __len__(self) -> int:
        return self._size

    def column(self, name: str) -> npt.NDArray[Any]:
        """The column `name` of all series, a view: series_id, mean_kind, interval_s, device (index into `device_names`), device_id,
        metric (index into `METRIC_LIST`), partition, loaded (what follows was read from the database), previous_time_us and
        previous_value (the last stored reading before the open windows), last_time_us (the newest stored reading)."""
        return self._columns[name][: self._size]

    @property
    def meta(self) -> SeriesMeta:
        """What the kernels need of every series."""
        return SeriesMeta(self.column("series_id"), self.column("mean_kind"), self.column("interval_s"))

    def resolve(
        self,
        devices: Sequence[str],
        metrics: Sequence[str],
        device_codes: npt.NDArray[np.int32],
        metric_codes: npt.NDArray[np.int16],
        partition: int,
    ) -> npt.NDArray[np.int32]:
        """Local series index of each of n readings given by codes into two name lists; negative: why it has none."""
        if len(device_codes) == 0:
            return np.empty(0, np.int32)
        device = np.fromiter((self._device(name) for name in devices), np.int32, len(devices))[device_codes]
        metric = np.fromiter((_METRIC_INDEX.get(name, -1) for name in metrics), np.int32, len(metrics))[metric_codes]
        if (device >= 0).all() and (metric >= 0).all() and (self._device_partition[device] == partition).all():
            return self._pair(device, metric, partition)
        series = np.full(len(device), WRONG_PARTITION, np.int32)
        series[metric < 0] = UNKNOWN_METRIC
        series[device < 0] = BAD_DEVICE
        good = (device >= 0) & (metric >= 0)
        good[good] = self._device_partition[device[good]] == partition
        series[good] = self._pair(device[good], metric[good], partition)
        return series

    def take_waiting(self) -> list[NewSeries]:
        """The series that still need a row in the database; each is handed out once."""
        waiting, self._waiting = self._waiting, []
        return [
            NewSeries(
                index,
                self.device_names[self._columns["device"][index]],
                METRIC_LIST[self._columns["metric"][index]],
                int(self._columns["partition"][index]),
            )
            for index in waiting
        ]

    def learn(self, known: Sequence[KnownSeries], *, fresh: bool) -> None:
        """Take rows of the database in. `fresh`: the rows were created just now, so there is nothing stored to be read for them."""
        for row in known:
            device = self._device(row.device)
            metric = _METRIC_INDEX.get(row.metric)
            if device < 0 or metric is None:
                continue  # written by another version or by hand: no reading can name it here
            index = int(self._pairs[device, metric])
            if index < 0:
                index = self._add(device, metric, row.partition)
            self._columns["series_id"][index] = row.series_id
            self._index_id(row.series_id, index)
            self._columns["device_id"][index] = row.device_id
            self._columns["mean_kind"][index] = row.mean_kind
            self._columns["interval_s"][index] = row.interval_s
            if fresh:
                self._columns["loaded"][index] = True
        self._waiting = [index for index in self._waiting if self._columns["series_id"][index] == 0]

    def index_of(self, series_id: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Local index of series by their database id; all must be known."""
        return self._by_id[series_id]

    def _index_id(self, series_id: int, index: int) -> None:
        # ids are dense (an identity column), so an array is the smallest map
        if series_id >= len(self._by_id):
            grown = np.full(max(2 * len(self._by_id), series_id + 1), -1, np.int32)
            grown[: len(self._by_id)] = self._by_id
            self._by_id = grown
        self._by_id[series_id] = index

    def _device(self, name: str) -> int:
        index = self._device_index.get(name)
        if index is not None:
            return index
        if not 0 < len(name.encode(errors="replace")) <= DEVICE_MAX_BYTES or "\0" in name:
            return -1
        index = len(self.device_names)
        if index == len(self._pairs):
            self._pairs = np.concatenate([self._pairs, np.full_like(self._pairs, -1)])
            self._device_partition = np.concatenate([self._device_partition, self._device_partition])
        self._device_index[name] = index
        self.device_names.append(name)
        self._device_partition[index] = partition_of(name, self._partitions)
        return index

    def _pair(
        self, device: npt.NDArray[np.int32], metric: npt.NDArray[np.int32], partition: int
    ) -> npt.NDArray[np.int32]:
        series = self._pairs[device, metric]
        unknown = series < 0
        if not unknown.any():
            return series
        for key in np.unique(device[unknown].astype(np.int64) * len(METRIC_LIST) + metric[unknown]):
            self._waiting.append(self._add(*divmod(int(key), len(METRIC_LIST)), partition))
        return self._pairs[device, metric]

    def _add(self, device: int, metric: int, partition: int) -> int:
        index = self._size
        if index == len(self._columns["series_id"]):
            for name, column in self._columns.items():
                grown = np.concatenate([column, column])
                grown[index:] = {"previous_time_us": NEVER_US, "last_time_us": NEVER_US, "previous_value": np.nan}.get(
                    name, 0
                )
                self._columns[name] = grown
        self._size += 1
        self._columns["device"][index] = device
        self._columns["metric"][index] = metric
        self._columns["partition"][index] = partition
        self._pairs[device, metric] = index
        return index
