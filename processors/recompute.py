"""`citynerve process recompute`: closed windows made anew from the stored readings, coarser ones from the finer rows; says what differed.

Runs beside processors: while it works on some series of a day it holds the cursor rows, so that no batch is between its readings and its
windows. Windows whose raw readings have been dropped by retention are left as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.contract.broker import KafkaSettings
from ingest.contract.operating import EXIT_TROUBLE, UserError, load_sections
from processors.contract.database import CitySettings, DatabaseSettings
from processors.contract.rows import WindowRows
from processors.database_session import open_session
from processors.kernels.starts import FixedWindows, starts_fixed, starts_local_day
from processors.kernels.windows_of import PreviousReading, aggregate, merge
from processors.revision import counter_values_before
from processors.series import SeriesTable
from processors.series_store import load_device
from processors.window_store import WindowStore
from processors.windows import MINUTE_US

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Report = dict[str, dict[str, int]]
Span = tuple[int, int]

_SERIES_A_STEP = 200
_EXACT = (
    "count",
    "min",
    "max",
    "first",
    "last",
    "p50",
    "p95",
    "p99",
    "expected",
    "valid",
    "late",
    "flagged",
    "first_time_us",
    "last_time_us",
)
_CLOSE = ("mean", "std", "special", "sum_sin", "sum_cos")


@dataclass(slots=True)
class _Tally:
    """Per size: windows looked at, changed, created where none was, and left alone because their readings are gone."""

    counts: Report = field(default_factory=lambda: {size: _none() for size in ("1m", "15m", "1h", "1d")})

    def add(self, table: str, **more: int) -> None:
        for name, number in more.items():
            self.counts[table.removeprefix("windows_")][name] += number


def _none() -> dict[str, int]:
    return {"checked": 0, "changed": 0, "created": 0, "without_readings": 0}


async def recompute_windows(start: datetime, end: datetime, device: str | None) -> Report:
    """Rebuild the closed windows that touch start <= time < end (UTC).

    Raises:
        UserError: the database cannot be reached, or no such device.
    """
    loaded = load_sections({"database": DatabaseSettings, "city": CitySettings, "kafka": KafkaSettings}, None)
    database, city, kafka = loaded["database"], loaded["city"], loaded["kafka"]
    assert isinstance(database, DatabaseSettings)  # noqa: S101 - narrows for mypy
    assert isinstance(city, CitySettings)  # noqa: S101
    assert isinstance(kafka, KafkaSettings)  # noqa: S101
    try:
        connection = await open_session(database, "citynerve recompute")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise UserError(
            f"cannot use the database: {error or type(error).__name__}; check [database] dsn", exit_code=EXIT_TROUBLE
        ) from None
    try:
        table = SeriesTable(kafka.partitions)
        series = await load_device(connection, table, device)
        if device is not None and len(series) == 0:
            raise UserError(f"there is no device {device!r} with stored series; see `citynerve devices list`")
        worker = _Worker(connection, table, city.zone, kafka.topics.readings)
        await worker.run(series, (_micros(start), _micros(end)))
        return worker.tally.counts
    finally:
        connection.terminate()


def report_lines(report: Report) -> list[str]:
    """The report for a terminal."""
    lines = [
        f"{size:>4}: {row['checked']} checked, {row['changed']} changed, {row['created']} created, "
        f"{row['without_readings']} left as they are (raw readings no longer stored)"
        for size, row in report.items()
    ]
    unchanged = all(row["changed"] == row["created"] == 0 for row in report.values())
    return [*lines, "nothing changed" if unchanged else "rows that differed were replaced and their revision raised"]


class _Worker:
    def __init__(self, connection: Connection, table: SeriesTable, zone: ZoneInfo, topic: str) -> None:
        self._connection, self._table, self._zone, self._topic = connection, table, zone, topic
        self._store = WindowStore(connection)
        self.tally = _Tally()

    async def run(self, series: npt.NDArray[np.intp], span: Span) -> None:
        for day in self._days(span):
            for some in np.array_split(series, max(1, -(-len(series) // _SERIES_A_STEP))):
                if len(some) == 0:
                    continue
                async with self._connection.transaction():
                    closed = await self._closed_until(some)
                    await self._minutes(some, day, closed)
                    for coarse, fine in (
                        ("windows_15m", "windows_1m"),
                        ("windows_1h", "windows_15m"),
                        ("windows_1d", "windows_15m"),
                    ):
                        await self._coarse(coarse, fine, some, day, closed=closed)

    def _days(self, span: Span) -> Iterator[Span]:
        at, until = span
        while at < until:
            end = int(starts_local_day(np.array([at]), self._zone)[1][0])
            yield at, min(end, until)
            at = end

    async def _closed_until(self, some: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        rows = await self._connection.fetch(
            "SELECT partition, closed_until FROM city.offsets WHERE topic = $1 ORDER BY partition FOR UPDATE",
            self._topic,
        )
        closed = {row["partition"]: row["closed_until"] or 0 for row in rows}
        return np.array([closed.get(number, 0) for number in self._table.column("partition")[some].tolist()], np.int64)

    async def _minutes(self, some: npt.NDArray[np.intp], day: Span, closed: npt.NDArray[np.int64]) -> None:
        lo = np.full(len(some), day[0] - day[0] % MINUTE_US)
        hi = np.minimum(-(-day[1] // MINUTE_US) * MINUTE_US, closed)
        ids = self._table.column("series_id")[some].tolist()
        readings = await self._store.fetch_readings(ids, lo.tolist(), hi.tolist())
        previous = np.full(len(self._table), np.nan)
        previous[some] = await counter_values_before(self._store, self._table, some.astype(np.int32), lo)
        rows = await asyncio.to_thread(
            aggregate, self._table.meta, some[readings.series].astype(np.int32), readings.time_us, readings.values, readings.flags,
            FixedWindows(60), PreviousReading(previous),
        )  # fmt: skip
        old = await self._store.fetch_rows("windows_1m", ids, lo.tolist(), hi.tolist())
        await self._replace("windows_1m", old, rows)

    async def _coarse(
        self, coarse: str, fine: str, some: npt.NDArray[np.intp], day: Span, *, closed: npt.NDArray[np.int64]
    ) -> None:
        edges = np.array([day[0], day[1] - 1])
        lo, hi = int(self._bounds(coarse, edges)[0][0]), int(self._bounds(coarse, edges)[1][1])
        ids = self._table.column("series_id")[some].tolist()
        whole = np.minimum(hi, self._bounds(coarse, closed)[0])  # the window the cursor stands in is not closed
        finer = await self._store.fetch_rows(fine, ids, [lo] * len(ids), whole.tolist())
        start, end = self._bounds(coarse, finer.start_us)
        rows = await asyncio.to_thread(
            merge, self._table.meta, finer, self._table.index_of(finer.series_id), start, end - start
        )
        old = await self._store.fetch_rows(coarse, ids, [lo] * len(ids), whole.tolist())
        await self._replace(coarse, old, rows)

    def _bounds(
        self, table: str, time_us: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        if table == "windows_1d":
            return starts_local_day(time_us, self._zone)
        size_s = {"windows_15m": 900, "windows_1h": 3600}[table]
        start = starts_fixed(time_us, size_s)
        return start, start + size_s * 1_000_000

    async def _replace(self, table: str, old: WindowRows, new: WindowRows) -> None:
        """Write the rows that differ from the old ones, as their next revision."""
        at_old = {key: at for at, key in enumerate(zip(old.series_id.tolist(), old.start_us.tolist(), strict=True))}
        place = np.array(
            [at_old.get(key, -1) for key in zip(new.series_id.tolist(), new.start_us.tolist(), strict=True)], np.intp
        )
        known = place >= 0
        kept, before = new.take(known), old.take(place[known])
        # a row that knows more readings than are stored stands for readings that retention has dropped
        dropped = before.count > kept.count
        changed = _differs(before, kept) & ~dropped
        revised = kept.take(changed)
        revised = replace(revised, revision=before.revision[changed] + 1)
        created = new.take(~known)
        gone = len(old) - int(known.sum()) + int(dropped.sum())
        self.tally.add(
            table,
            checked=len(new) + len(old) - int(known.sum()),
            changed=len(revised),
            created=len(created),
            without_readings=gone,
        )
        await self._store.replace_rows(table, WindowRows.concatenate([revised, created]))


def _differs(old: WindowRows, new: WindowRows) -> npt.NDArray[np.bool_]:
    different = np.zeros(len(old), np.bool_)
    for name in _EXACT:
        different |= getattr(old, name) != getattr(new, name)
    for name in _CLOSE:
        different |= ~np.isclose(getattr(old, name), getattr(new, name), rtol=1e-9, atol=1e-9, equal_nan=True)
    return different


def _micros(moment: datetime) -> int:
    delta: Any = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return int(delta.total_seconds()) * 1_000_000
