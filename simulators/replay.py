"""A recording as a source of messages in event-time order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ingest.contract.operating import UserError
from ingest.contract.sensor_kinds import METRICS, conversion
from simulators.batch import Batch, Expect, Names, Rows, batch_of
from simulators.noise import Floats, Ints
from simulators.payloads import FORMATS, Channel, Sample, device_problem, topic_of
from simulators.recording import Recording, RecordingSpec

_CHUNK = 2000


class Replay:
    """The rows of a recording as messages: each device's rows in file order, the devices interleaved by time.

    Raises:
        UserError: the format cannot name one of the devices.
    """

    def __init__(self, spec: RecordingSpec, recording: Recording, names: Names, topic_root: str = "") -> None:
        for device in recording.devices:
            problem = device_problem(spec.form, device)
            if problem is not None:
                raise UserError(f"nothing was sent of {spec.csv}: {problem}")
        self._spec, self._recording, self._root = spec, recording, topic_root
        self._device_codes = names.codes(recording.devices)
        self._metric_codes = names.codes(column.metric for column in spec.columns)
        self._canonical, self._expect = _canonical(spec, recording.value)
        self.due_us = _due_us(recording.who, recording.time_us)

    def batches(self, from_us: int | None = None, until_us: int | None = None) -> Iterator[tuple[int, Batch]]:
        """(horizon, messages) of the rows due in [from, until)."""
        groups = self._groups(from_us, until_us)
        for start in range(0, len(groups), _CHUNK):
            part = groups[start : start + _CHUNK]
            batch = self._messages(part)
            yield int(batch.due_us[-1]), batch

    def _groups(self, from_us: int | None, until_us: int | None) -> list[Ints]:
        """Row indexes of each message in the order of their due times: up to `pack` successive rows of a device."""
        filled = ~np.isnan(self._recording.value).all(axis=1)
        chosen = (
            filled
            & (self.due_us >= (from_us if from_us is not None else -(2**62)))
            & (self.due_us < (until_us or 2**62))
        )
        order = np.argsort(self.due_us, kind="stable")
        order = order[chosen[order]]
        if self._spec.pack == 1:
            return [order[i : i + 1] for i in range(len(order))]
        packs: list[Ints] = []
        for device in range(len(self._recording.devices)):
            rows = order[self._recording.who[order] == device]
            packs += [rows[i : i + self._spec.pack] for i in range(0, len(rows), self._spec.pack)]
        return sorted(packs, key=lambda rows: int(self.due_us[rows[-1]]))

    def _messages(self, groups: list[Ints]) -> Batch:
        spec, recording = self._spec, self._recording
        write = FORMATS[spec.form]
        topics, payloads, due, rows = [], [], [], []
        for group in groups:
            device = recording.devices[int(recording.who[group[0]])]
            for part in self._alike(group):
                filled = np.flatnonzero(~np.isnan(recording.value[part[0]]))
                channels = [
                    Channel(spec.columns[i].metric, spec.columns[i].unit or METRICS[spec.columns[i].metric].unit)
                    for i in filled
                ]
                texts = recording.value[np.ix_(part, filled)].tolist()
                samples = [Sample(t, v) for t, v in zip(recording.time_us[part].tolist(), texts, strict=True)]
                topics.append(topic_of(spec.form, device, self._root))
                payloads.append(write(device, channels, samples))
                due.append(int(self.due_us[group[-1]]))
                rows.append(np.stack([np.repeat(part, len(filled)), np.tile(filled, len(part))]))
        row, column = np.concatenate(rows, axis=1)
        counts = np.asarray([pair.shape[1] for pair in rows], dtype=np.int64)
        return batch_of(due, topics, payloads, counts, self._rows(row, column))

    def _alike(self, group: Ints) -> list[Ints]:
        """The group cut where the set of filled columns changes, so that a message states no value that the file has not."""
        if len(group) == 1:
            return [group]
        filled = ~np.isnan(self._recording.value[group])
        return np.split(group, np.flatnonzero((filled[1:] != filled[:-1]).any(axis=1)) + 1)

    def _rows(self, row: Ints, column: Ints) -> Rows:
        return Rows(
            device=self._device_codes[self._recording.who[row]],
            metric=self._metric_codes[column],
            time_us=self._recording.time_us[row],
            value=self._canonical[row, column],
            expect=self._expect[row, column],
        )


def _canonical(spec: RecordingSpec, value: Floats) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """The values in canonical units, and what must become of each: one out of its metric's range is a dead letter."""
    canonical = np.empty_like(value)
    expect = np.full(value.shape, Expect.STORED, np.uint8)
    for i, column in enumerate(spec.columns):
        metric = METRICS[column.metric]
        step = conversion(metric, column.unit or metric.unit)
        assert step is not None  # noqa: S101 - RecordingSpec has refused such a unit
        canonical[:, i] = value[:, i] * step.scale + step.offset
        expect[(canonical[:, i] < metric.low) | (canonical[:, i] > metric.high), i] = Expect.DEAD_LETTER
    return canonical, expect


def _due_us(who: Ints, time_us: Ints) -> Ints:
    """When each row is sent: at its own time, but not before an earlier row of its device (late rows stay late)."""
    order = np.lexsort((np.arange(len(who)), who))
    ordered = time_us[order]
    starts = np.flatnonzero(np.diff(who[order], prepend=-1))
    due = np.empty_like(time_us)
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        due[order[start:stop]] = np.maximum.accumulate(ordered[start:stop])
    return due
