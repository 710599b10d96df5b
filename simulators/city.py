"""The simulated city as a source of messages: which device says what when, in which format, and with which faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.contract.sensor_kinds import METRICS
from simulators.batch import Batch, Expect, Names, Rows, batch_of
from simulators.faults import FUTURE_S, Faults, Malformed, Shares
from simulators.fleet import AIR, LIGHT, NOISE, TRAFFIC, WATER, Fleet, build
from simulators.noise import Floats, Ints, Noise
from simulators.payloads import FORMATS, Channel, Number, Sample, topic_of
from simulators.signals import SIGNALS, LampMeter, Samples
from simulators.weather import Place, Weather

CHUNK_S = 300
"""Event time made at once: long enough for numpy, short enough for memory."""
_ABSURD = 9_999_999.0
_FORM = {
    AIR.name: "chirpstack-v4",
    NOISE.name: "senml-json",
    WATER.name: "senml-json",
    TRAFFIC.name: "plain-json",
    LIGHT.name: "plain-json",
}
_SPIKES = {
    AIR.name: (0, 2.5, 5.0),
    NOISE.name: (1, 1.0, 38.0),
    WATER.name: (0, 1.0, 1.6),
    TRAFFIC.name: (2, 2.5, 5.0),
    LIGHT.name: (2, 2.5, 5.0),
}
"""Which of a kind's metrics spikes, by what factor and by what is added."""
_VENDOR_NAMES = {"air_temperature": "temperature", "relative_humidity": "humidity"}
"""How an air station's codec names what we call otherwise."""


@dataclass(frozen=True, slots=True)
class _Said:
    """m messages of one kind before they are bytes: `time_s`, `value` are [m, pack] and [m, pack, metrics]."""

    who: Ints
    due_s: Ints
    time_s: Ints
    value: Floats
    broken: npt.NDArray[np.int64]


class City:
    """`devices` devices of one seed; messages of any stretch of time, the same ones however the stretch is cut."""

    def __init__(
        self,
        devices: int,
        seed: int,
        place: Place,
        names: Names,
        *,
        shares: Shares | None = None,
        topic_root: str = "",
        id_prefix: str = "",
    ) -> None:
        noise = Noise(seed)
        self.fleets = build(devices, seed, place, id_prefix)
        self._noise, self._place, self._root = noise, place, topic_root
        self._faults = Faults(noise, shares or Shares())
        self._meter = LampMeter(noise, place)
        self._codes = {
            fleet.kind.name: (names.codes(fleet.devices), names.codes(fleet.kind.metrics)) for fleet in self.fleets
        }

    def batches(self, from_s: int, until_s: int | None) -> Iterator[tuple[int, Batch]]:
        """(horizon, messages), on and on: no later batch holds a message due before the horizon (microseconds)."""
        start = from_s
        while until_s is None or start < until_s:
            stop = (start // CHUNK_S + 1) * CHUNK_S
            stop = stop if until_s is None else min(stop, until_s)
            batch = Batch.merge([self._messages(fleet, start, stop) for fleet in self.fleets])
            yield stop * 1_000_000, batch if until_s is None else _by(batch, until_s * 1_000_000)
            start = stop

    def _messages(self, fleet: Fleet, from_s: int, until_s: int) -> Batch:
        said = self._say(fleet, from_s, until_s)
        if not len(said.who):
            return Batch.empty()
        batch = self._encode(fleet, said)  # in the order of `said`, not yet of time
        due = said.due_s.astype(np.float64)
        again = self._faults.repeated_after_s(fleet.key[said.who], due)
        late = self._faults.delay_s(fleet.key[said.who], due)
        copies = np.flatnonzero(again)
        return Batch.merge([_delayed(batch, late), _delayed(batch.take(copies), (late + again)[copies])])

    def _say(self, fleet: Fleet, from_s: int, until_s: int) -> _Said:
        """Who speaks in [from, until), and what the instruments read."""
        kind = fleet.kind
        period = kind.interval_s * kind.pack
        ready = (
            fleet.phase_s + (kind.pack - 1) * kind.interval_s
        )  # the moment of a pack's last sample, within the period
        number = -((ready - from_s) // period)  # the first pack that is ready at or after from_s
        packs = number[:, None] + np.arange((until_s - from_s) // period + 2)
        due = ready[:, None] + packs * period
        who, column = np.nonzero((due >= from_s) & (due < until_s))
        due_s = due[who, column]
        heard = ~self._faults.silent(fleet.key[who], due_s.astype(np.float64))
        who, due_s = who[heard], due_s[heard]
        time_s = due_s[:, None] - np.arange(kind.pack - 1, -1, -1) * kind.interval_s
        value = self._measure(fleet, np.repeat(who, kind.pack), time_s.ravel().astype(np.float64))
        value = value.reshape(len(who), kind.pack, len(kind.metrics))
        broken = self._faults.malformed(fleet.key[who], due_s.astype(np.float64))
        time_s = time_s + self._faults.skew_s(fleet.key[who], due_s.astype(np.float64))[:, None]
        time_s = time_s + np.where(broken == Malformed.IN_FUTURE, FUTURE_S, 0)[:, None]
        return _Said(who, due_s, time_s, value, broken)

    def _measure(self, fleet: Fleet, who: Ints, time_s: Floats) -> Floats:
        """Values [n, metrics] with stuck instruments and spikes."""
        key, kind = fleet.key[who], fleet.kind
        true_s = self._faults.frozen_time_s(key, time_s)
        samples = Samples(self._noise, fleet, who, true_s, Weather(self._noise, self._place, true_s), self._meter)
        signals = SIGNALS[kind.name](samples)
        value = np.stack([signals[metric] for metric in kind.metrics], axis=1)
        column, factor, added = _SPIKES[kind.name]
        spiking = self._faults.spiking(key, time_s)
        limit = METRICS[kind.metrics[column]].high
        value[spiking, column] = np.minimum(np.round(value[spiking, column] * factor + added, 1), limit)
        return value

    def _encode(self, fleet: Fleet, said: _Said) -> Batch:
        kind = fleet.kind
        form = _FORM[kind.name]
        write = FORMATS[form]
        channels = _channels(form, kind.metrics)
        time_us = said.time_s * 1_000_000
        texts, counts, kept = [], np.empty(len(said.who), np.int64), np.ones(said.value.shape, np.bool_)
        expect = np.zeros(said.value.shape, np.uint8)
        moments, values = time_us.tolist(), _numbers(said.value, kind.metrics)
        for i, who in enumerate(said.who.tolist()):
            broken = Malformed(int(said.broken[i]))
            spoilt = _spoil(values[i], broken) if broken else values[i]
            payload = write(
                fleet.devices[who], channels, [Sample(t, v) for t, v in zip(moments[i], spoilt, strict=True)]
            )
            texts.append(_cut(payload, broken) if broken else payload)
            if broken:
                _note(broken, kept[i], expect[i])
        counts = kept.sum(axis=(1, 2))
        devices, metrics = self._codes[kind.name]
        shape, keep = said.value.shape, kept.ravel()
        rows = Rows(
            device=np.repeat(devices[said.who], shape[1] * shape[2])[keep],
            metric=np.tile(metrics, shape[0] * shape[1])[keep],
            time_us=np.repeat(time_us.ravel(), shape[2])[keep],
            value=said.value.ravel()[keep],
            expect=expect.ravel()[keep],
        )
        topics = [topic_of(form, fleet.devices[who], self._root) for who in said.who.tolist()]
        return batch_of(said.due_s * 1_000_000, topics, texts, counts, rows)


def _channels(form: str, metrics: Sequence[str]) -> list[Channel]:
    if form == "chirpstack-v4":
        return [Channel(_VENDOR_NAMES.get(metric, metric), "") for metric in metrics]
    return [Channel(metric, METRICS[metric].unit) for metric in metrics]


def _numbers(value: Floats, metrics: Sequence[str]) -> list[list[list[Number]]]:
    """Nested lists of Python numbers; a lamp says true or false, a count has no decimal point."""
    nested: list[list[list[Number]]] = value.tolist()
    whole = [i for i, metric in enumerate(metrics) if metric in {"traffic_count", "dimming_level"}]
    truth = [i for i, metric in enumerate(metrics) if metric == "lamp_on"]
    for message in nested if whole or truth else []:
        for sample in message:
            for i in whole:
                sample[i] = int(sample[i])
            for i in truth:
                sample[i] = bool(sample[i])
    return nested


def _spoil(values: list[list[Number]], broken: Malformed) -> list[list[Number]]:
    """The values with the first one broken, where that is the fault."""
    if broken is Malformed.TEXT_VALUE:
        return [["NoSensor", *values[0][1:]], *values[1:]]
    if broken is Malformed.OUT_OF_RANGE:
        return [[_ABSURD, *values[0][1:]], *values[1:]]
    return values


def _cut(payload: bytes, broken: Malformed) -> bytes:
    """The payload broken as bytes, where that is the fault."""
    if broken is Malformed.TRUNCATED:
        return payload[: len(payload) * 2 // 3]
    if broken is Malformed.NOT_UTF8:
        return b"\xff\xfe" + payload
    return payload


def _note(broken: Malformed, kept: npt.NDArray[np.bool_], expect: npt.NDArray[np.uint8]) -> None:
    """Say in the ledger's columns [pack, metrics] of one message what must become of it: an undecodable payload counts as one reading."""
    if broken in {Malformed.TRUNCATED, Malformed.NOT_UTF8}:
        kept.flat[1:] = False
        expect.flat[0] = Expect.DEAD_LETTER
    elif broken is Malformed.IN_FUTURE:
        expect[...] = Expect.DEAD_LETTER
    else:
        expect.flat[0] = Expect.DEAD_LETTER


def _by(batch: Batch, until_us: int) -> Batch:
    """The batch with nothing later than the end of the run: what is delayed beyond it leaves then."""
    due = np.minimum(batch.due_us, until_us)
    return Batch(
        due,
        batch.topics,
        batch.payloads,
        batch.first,
        batch.device,
        batch.metric,
        batch.time_us,
        batch.value,
        batch.expect,
    )


def _delayed(batch: Batch, by_s: Ints) -> Batch:
    """The batch with its messages leaving later, in the new order."""
    due = batch.due_us + by_s * 1_000_000
    moved = Batch(
        due,
        batch.topics,
        batch.payloads,
        batch.first,
        batch.device,
        batch.metric,
        batch.time_us,
        batch.value,
        batch.expect,
    )
    return moved.take(np.argsort(due, kind="stable"))
