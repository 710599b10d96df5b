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
METRIC_CODES: Final[dict[str, int]] = {metric.name: index for index, metric in enumerate(METRIC_LIST)}
WRONG_PARTITION: Final = -1
UNKNOWN_METRIC: Final = -2
BAD_DEVICE: Final = -3
NEVER_US: Final = -(1 << 62)
"""Earlier than any reading."""


_EMPTY: Final = {"previous_time_us": NEVER_US, "last_time_us": NEVER_US, "previous_value": np.nan}
"""What a series has in a column at first, where that is not 0."""


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """n distinct rows of city.series as columns. `device_code` indexes `devices`; `metric` indexes `METRIC_LIST`, -1: not in it."""

    devices: Sequence[str]
    device_code: npt.NDArray[np.int32]
    series_id: npt.NDArray[np.int32]
    device_id: npt.NDArray[np.int32]
    metric: npt.NDArray[np.int16]
    mean_kind: npt.NDArray[np.int8]
    interval_s: npt.NDArray[np.int32]
    partition: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A series that has a local index but no row in the database yet."""

    index: int
    device: str
    metric: Metric
    partition: int


class SeriesTable:
    """Interns (device, metric). A local series index stays valid for the life of the table; arrays grow by an eighth.

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
            "partition": np.zeros(64, np.int16),
            "loaded": np.zeros(64, np.bool_),
            "previous_time_us": np.zeros(64, np.int64),
            "previous_value": np.zeros(64),
            "last_time_us": np.zeros(64, np.int64),
        }
        for name, value in _EMPTY.items():
            self._columns[name][:] = value

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
        device = self._devices(devices)[device_codes]
        metric = np.fromiter((METRIC_CODES.get(name, -1) for name in metrics), np.int32, len(metrics))[metric_codes]
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

    def learn(self, known: KnownSeries, *, fresh: bool) -> None:
        """Take rows of the database in. `fresh`: the rows were created just now, so there is nothing stored to be read for them."""
        # a metric this version does not know was written by another one or by hand, and so was a device: no reading can name it here
        device = np.fromiter(map(self._device, known.devices), np.int32, len(known.devices))[known.device_code]
        usable = np.flatnonzero((device >= 0) & (known.metric >= 0))
        device, metric = device[usable], known.metric[usable]
        index = self._pairs[device, metric]
        new = np.flatnonzero(index < 0)
        index[new] = self._add(device[new], metric[new], known.partition[usable][new])
        series_id = known.series_id[usable]
        self._index_ids(series_id, index)
        for name in ("series_id", "device_id", "mean_kind", "interval_s"):
            self._columns[name][index] = getattr(known, name)[usable]
        if fresh:
            self._columns["loaded"][index] = True
        if self._waiting:
            self._waiting = [at for at in self._waiting if self._columns["series_id"][at] == 0]

    def index_of(self, series_id: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Local index of series by their database id; all must be known."""
        return self._by_id[series_id]

    def _index_ids(self, series_id: npt.NDArray[np.int32], index: npt.NDArray[np.int32]) -> None:
        # ids are dense (an identity column), so an array is the smallest map
        most = int(series_id.max(initial=0))
        if most >= len(self._by_id):
            grown = np.full(max(len(self._by_id) * 9 // 8, most + 1), -1, np.int32)
            grown[: len(self._by_id)] = self._by_id
            self._by_id = grown
        self._by_id[series_id] = index

    def _devices(self, names: Sequence[str]) -> npt.NDArray[np.int32]:
        """Device index of each name, -1 where it is no name."""
        try:
            # no Python step a name where all are known: single readings come with nearly a name each
            return np.fromiter(map(self._device_index.__getitem__, names), np.int32, len(names))
        except KeyError:
            return np.fromiter(map(self._device, names), np.int32, len(names))

    def _device(self, name: str) -> int:
        index = self._device_index.get(name)
        if index is not None:
            return index
        if not 0 < len(name.encode(errors="replace")) <= DEVICE_MAX_BYTES or "\0" in name:
            return -1
        index = len(self.device_names)
        if index == len(self._pairs):
            more = max(64, index // 8)
            self._pairs = np.concatenate([self._pairs, np.full((more, len(METRIC_LIST)), -1, np.int32)])
            self._device_partition = np.concatenate([self._device_partition, np.zeros(more, np.int32)])
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
        device_of, metric_of = np.divmod(
            np.unique(device[unknown].astype(np.int64) * len(METRIC_LIST) + metric[unknown]), len(METRIC_LIST)
        )
        self._waiting += self._add(device_of, metric_of, np.full(len(device_of), partition, np.int32)).tolist()
        return self._pairs[device, metric]

    def _add(
        self, device: npt.NDArray[Any], metric: npt.NDArray[Any], partition: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int32]:
        """Give distinct new pairs the next indices."""
        index = np.arange(self._size, self._size + len(device), dtype=np.int32)
        self._size += len(device)
        if self._size > (room := len(self._columns["series_id"])):
            # by an eighth and not by doubling: of a million series the unused half would be 50 MB
            for name, column in self._columns.items():
                grown = np.zeros(max(room * 9 // 8, self._size), column.dtype)
                grown[:room] = column
                grown[room:] = _EMPTY.get(name, 0)
                self._columns[name] = grown
        for name, values in (("device", device), ("metric", metric), ("partition", partition)):
            self._columns[name][index] = values
        self._pairs[device, metric] = index
        return index
