"""The newest value of every series as columns, brought up to date a frame at a time without touching single readings. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from control_center.rows import LatestValue
from ingest.contract.frame import FrameColumns
from ingest.contract.sensor_kinds import METRICS

MAX_DEVICES: Final = 500_000
"""Above this, new devices are counted and left out: a flood of made-up names must not take the memory (about 0.4 kB a device)."""

_NEVER: Final = np.iinfo(np.int64).min
_METRIC_NAMES: Final = tuple(METRICS)
_METRIC_INDEX: Final = {name: index for index, name in enumerate(_METRIC_NAMES)}
_METRIC_INTERVAL_S: Final = np.array([metric.interval_s for metric in METRICS.values()], np.float64)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One series' newest value. `time_us`: event time, microseconds since 1970."""

    device: str
    metric: str
    value: float
    time_us: int


class LatestValues:
    """Columns of all series seen; a series' slot never moves.

    `update` costs a sort of the frame and a few gathers. Changes since a point are found by `mark` numbers: everything changed since the
    last `mark(n)` carries n, so a reader that saw n-1 asks `changed(n-1, n)`.
    """

    def __init__(self) -> None:
        self._devices: dict[str, int] = {}
        self._names: list[str] = []
        self._slot_of = np.full((64, len(_METRIC_NAMES)), -1, np.int32)
        self._device_last_us = np.full(64, _NEVER, np.int64)
        self._device_interval_s = np.full(64, np.inf)
        self._interval_is_registered = np.zeros(64, np.bool_)
        self._in_register = np.zeros(64, np.bool_)
        self._size = 0
        self._slot_device = np.zeros(256, np.int32)
        self._slot_metric = np.zeros(256, np.int16)
        self._value = np.zeros(256)
        self._time_us = np.full(256, _NEVER, np.int64)
        self._mark = np.zeros(256, np.int64)
        self._dirty = np.zeros(256, np.bool_)
        self.left_out = 0
        self._gateway_of: dict[str, str] = {}

    def __len__(self) -> int:
        return self._size

    def note_gateway(self, devices: Sequence[str], gateway: str) -> None:
        """These devices sent through this gateway."""
        if len(self._gateway_of) < MAX_DEVICES:
            self._gateway_of.update(dict.fromkeys(devices, gateway))

    def gateway_of(self, device: str) -> str | None:
        """The gateway a device last sent through; None where none of its frames has been seen yet."""
        return self._gateway_of.get(device)

    def prime(self, rows: Iterable[LatestValue]) -> None:
        """Stored values as a first content; newer ones already here stay."""
        known = [row for row in rows if row.metric in _METRIC_INDEX]
        if not known:
            return
        devices, device_codes = np.unique(np.array([row.device for row in known], object), return_inverse=True)
        self.update(
            FrameColumns(
                devices=list(devices),
                metrics=_METRIC_NAMES,
                device_codes=device_codes.astype(np.int32),
                metric_codes=np.array([_METRIC_INDEX[row.metric] for row in known], np.int16),
                time_us=np.array([round(row.time.timestamp() * 1e6) for row in known], np.int64),
                values=np.array([row.value for row in known]),
                flags=np.zeros(len(known), np.uint16),
            )
        )

    def update(self, frame: FrameColumns) -> int:
        """Take in one frame; returns how many series changed. Per series the latest event time wins, at equal times the later arrival."""
        if len(frame) == 0:
            return 0
        device = self._device_indexes(frame.devices)[frame.device_codes]
        metric = np.array([_METRIC_INDEX.get(name, -1) for name in frame.metrics], np.int64)[frame.metric_codes]
        usable = (device >= 0) & (metric >= 0)
        self.left_out += int(len(usable) - np.count_nonzero(usable))
        cell = np.where(usable, device * len(_METRIC_NAMES) + metric, -1)
        order = np.lexsort((frame.time_us, cell))  # stable: at equal times the later arrival stays behind
        ordered = cell[order]
        newest = order[np.append(ordered[1:] != ordered[:-1], True) & (ordered >= 0)]
        return self._store(cell[newest], frame.time_us[newest], frame.values[newest])

    def _store(self, cell: Ints, time_us: Ints, value: npt.NDArray[np.float64]) -> int:
        slot = self._slots(cell)
        newer = (time_us > self._time_us[slot]) | ((time_us == self._time_us[slot]) & (value != self._value[slot]))
        slot, time_us, value = slot[newer], time_us[newer], value[newer]
        self._time_us[slot], self._value[slot], self._dirty[slot] = time_us, value, True
        np.maximum.at(self._device_last_us, self._slot_device[slot], time_us)
        return len(slot)

    def _slots(self, cell: Ints) -> npt.NDArray[np.int32]:
        """The slots of distinct cells (device * metrics + metric); new cells get the next free ones."""
        flat = self._slot_of.reshape(-1)
        new = cell[flat[cell] < 0]
        if len(new):
            first, self._size = self._size, self._size + len(new)
            self._reserve_slots(self._size)
            slots = np.arange(first, self._size)
            flat[new] = slots
            device, metric = np.divmod(new, len(_METRIC_NAMES))
            self._slot_device[slots], self._slot_metric[slots] = device, metric
            unregistered = ~self._interval_is_registered[device]
            np.minimum.at(self._device_interval_s, device[unregistered], _METRIC_INTERVAL_S[metric[unregistered]])
        return flat[cell]

    def _device_indexes(self, names: Sequence[str]) -> Ints:
        indexes = np.empty(max(1, len(names)), np.int64)
        for code, name in enumerate(names):
            index = self._devices.get(name)
            if index is None:
                index = self._new_device(name)
            indexes[code] = index
        return indexes

    def _new_device(self, name: str) -> int:
        index = len(self._names)
        if index >= MAX_DEVICES:
            return -1
        if index == len(self._slot_of):
            self._slot_of = np.concatenate([self._slot_of, np.full_like(self._slot_of, -1)])
            self._device_last_us = np.concatenate([self._device_last_us, np.full(index, _NEVER, np.int64)])
            self._device_interval_s = np.concatenate([self._device_interval_s, np.full(index, np.inf)])
            self._interval_is_registered = np.concatenate([self._interval_is_registered, np.zeros(index, np.bool_)])
            self._in_register = np.concatenate([self._in_register, np.zeros(index, np.bool_)])
        self._devices[name] = index
        self._names.append(name)
        return index

    def _reserve_slots(self, size: int) -> None:
        if size <= len(self._value):
            return
        room = max(size, 2 * len(self._value))
        for name in ("_slot_device", "_slot_metric", "_value", "_time_us", "_mark", "_dirty"):
            old = getattr(self, name)
            grown = np.zeros(room, old.dtype)
            if name == "_time_us":
                grown[:] = _NEVER
            grown[: len(old)] = old
            setattr(self, name, grown)

    def has_unmarked(self) -> bool:
        """Whether anything changed since the last `mark`."""
        return bool(self._dirty[: self._size].any())

    def mark(self, number: int) -> None:
        """Stamp everything changed since the last call with `number` (greater than all before)."""
        self._mark[self._dirty] = number
        self._dirty[:] = False

    def changed(self, after: int, up_to: int) -> list[Cell]:
        """Series whose last marked change lies in after < mark <= up_to, as they are now."""
        marks = self._mark[: self._size]
        return self._cells(np.flatnonzero((marks > after) & (marks <= up_to)))

    def all_cells(self) -> list[Cell]:
        """Every series."""
        return self._cells(np.arange(self._size))

    def _cells(self, slots: npt.NDArray[np.intp]) -> list[Cell]:
        return [
            Cell(self._names[device], _METRIC_NAMES[metric], value, time_us)
            for device, metric, value, time_us in zip(
                self._slot_device[slots].tolist(),
                self._slot_metric[slots].tolist(),
                self._value[slots].tolist(),
                self._time_us[slots].tolist(),
                strict=True,
            )
        ]

    def set_intervals(self, intervals_s: dict[str, int | None]) -> None:
        """The register's expected seconds between readings; None leaves the shortest of the device's metrics. Unknown devices are added."""
        for device, interval_s in intervals_s.items():
            index = self._devices.get(device)
            if index is None:
                index = self._new_device(device)
            if index < 0:
                continue
            self._in_register[index] = True
            if interval_s is not None:
                self._device_interval_s[index] = interval_s
                self._interval_is_registered[index] = True

    def stale_devices(self, now_us: int, intervals: float) -> int:
        """How many devices have sent nothing for `intervals` times their expected interval, registered ones that never did included."""
        n = len(self._names)
        last_us, interval_s = self._device_last_us[:n], self._device_interval_s[:n]
        never = last_us == _NEVER  # only named: in the register, or in a frame's dictionary without a reading
        age_us = now_us - np.where(never, now_us, last_us)  # subtracting _NEVER itself would overflow
        return int(np.count_nonzero(np.where(never, self._in_register[:n], age_us > intervals * interval_s * 1e6)))
