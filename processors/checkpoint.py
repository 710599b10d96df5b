"""One batch, one transaction: rows, windows, conditions, dead letters, ledger and the next offsets commit together or not at all.

After any error the caller drops the connection and this object with all it holds: the outcome of a COMMIT whose answer was lost is
unknown, and only a fresh claim tells where the cursors stand. Nothing is ever retried here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.contract.memory import give_back
from ingest.contract.reading import Flag
from processors.batch import Batch, Sorted, account_frames, keys_of, refuse, settle, sort_distinct
from processors.closing import Closer
from processors.columns import Columns, Frames, Partition, RefusedReading, Span, to_columns
from processors.contract.rejects import FrameReject
from processors.contract.rows import WindowRows
from processors.cursors import GapReason, Progress, fence, record_gap_readings, record_offset_gap, record_progress
from processors.device_clocks import note_clocks
from processors.frame_sequence import FrameSequence
from processors.judge import Judge
from processors.ledger import LedgerKey, stored_days
from processors.ledger_store import load_sequences, write_ledger, write_letters, write_statements, write_stored_days
from processors.off_loop import off_loop
from processors.ownership import Owned
from processors.revision import Revision
from processors.series import METRIC_LIST, NEVER_US, SeriesTable
from processors.series_store import create_waiting, load_stored_ends
from processors.stuck_watch import StuckWatch
from processors.timescale_sink import Outcome, StoredReadings, store_readings
from processors.window_store import WindowStore
from processors.windows import OpenReadings, PartitionWindows, no_readings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_SET_HERE = int(Flag.LATE | Flag.STUCK)


class PositionError(Exception):
    """The records of a batch do not follow on the cursor: they must be fetched again."""


@dataclass(slots=True)
class Committed:
    """What one transaction did, for metrics. `windows`: (size table, "closed" or "revised") -> rows."""

    batch: Batch | None = None
    stored: int = 0
    late: int = 0
    fell_back: bool = False
    windows: dict[tuple[str, str], int] = field(default_factory=dict)
    lost_offsets: int = 0
    offset_gaps: int = 0
    missed: dict[Partition, int] = field(default_factory=dict)
    changes: int = 0

    def count_windows(self, rows: dict[str, WindowRows], kind: str) -> None:
        """Add rows written."""
        for table, written in rows.items():
            self.windows[table, kind] = self.windows.get((table, kind), 0) + len(written)


class Checkpoint:
    """Commits batches for the partitions in `owned`, which it moves along."""

    def __init__(
        self,
        connection: Connection,
        table: SeriesTable,
        owned: dict[Partition, Owned],
        *,
        owner: uuid.UUID,
        zone: ZoneInfo,
        future_limit_us: int,
    ) -> None:
        self._connection, self._table, self.owned = connection, table, owned
        self._owner, self._zone, self._future_limit_us = owner, zone, future_limit_us
        self._sequences: dict[LedgerKey, FrameSequence] = {}
        self._rows = WindowStore(connection)
        self._stuck = StuckWatch(table)
        self._judge = Judge(connection, table, zone)
        self._closer = Closer(self._rows, table, zone, self._judge)

    async def begin(self) -> None:
        """Load what judging needs; once, after the take-over."""
        numbers = [partition[1] for partition, _ in self._windows()]
        await self._judge.begin(numbers)
        if self._judge.watches_absence:
            await self._load_ends(np.arange(len(self._table), dtype=np.intp))
            await self._judge.begin(numbers)
        await off_loop(len(self._table), give_back)

    async def commit(self, frames: Frames, now_us: int) -> Committed:
        """Commit a batch. Every partition in it must be owned.

        Raises:
            FencedError: another process owns a partition now. Any other exception: unknown outcome. Either way: drop everything.
        """
        done = Committed()
        batch = await self._account(frames, done)
        done.batch = batch
        size = sum(len(frame.columns) for _, frame in batch.fresh)
        columns, refused = await off_loop(
            size, to_columns, batch.fresh, self._table, now_us=now_us, future_limit_us=self._future_limit_us
        )
        await create_waiting(self._connection, self._table)
        refuse(batch, refused)
        columns = await self._flagged(columns)
        ready = await off_loop(size, sort_distinct, batch, columns)
        async with self._connection.transaction():
            await self._move_cursors(frames, done)
            new = await self._store(batch, ready, done)
            await self._revise_and_add(new, done)
            self._observe(frames, ready, now_us)
            await note_clocks(self._connection, self._table, new.columns, self._heads())
            done.changes += await self._judge.refresh(self._watermarks(), now_us)
            await self._close_and_judge(frames.spans, new, done)
            await self._record(batch)
        for partition, span in frames.spans.items():
            self.owned[partition].next_offset = span.last + 1
            self.owned[partition].may_jump = False
            self.owned[partition].gap_from = None
            self.owned[partition].last_append_ms = span.last_append_ms
        return done

    async def tick(self, caught_up: Sequence[Partition], now_us: int) -> Committed | None:
        """Without records: let idle partitions' watermarks walk, and commit what that closes."""
        due: list[Partition] = []
        for partition in caught_up:
            owned = self.owned[partition]
            if owned.clock is None or owned.windows is None:
                continue
            owned.clock.tick(now_us)
            if owned.windows.is_due(owned.clock.value_us):
                due.append(partition)
        if not due:
            return None
        done = Committed()
        async with self._connection.transaction():
            await fence(self._connection, self._owner, {p: (self.owned[p].next_offset,) * 2 for p in due})
            done.changes += await self._judge.refresh(self._watermarks(), now_us)
            await self._close_and_judge(due, None, done)
            await record_progress(self._connection, [self._progress(partition) for partition in due])
        return done

    async def leave_out(self, partition: Partition, behind: int, reason: GapReason) -> Committed:
        """Move the cursor to `behind`, over offsets that Kafka no longer has, in one transaction with the row that says so.

        At once, and not with the records behind them: there may be none for long. Errors as of `commit`.
        """
        owned, done = self.owned[partition], Committed()
        first, recreated = owned.next_offset, reason == GapReason.RECREATED
        if behind <= first and not recreated:
            return done  # nothing was left out: claimed anew meanwhile
        async with self._connection.transaction():
            await fence(self._connection, self._owner, {partition: (first, behind)})
            await record_offset_gap(self._connection, partition, first, None if recreated else behind - 1, reason)
        owned.next_offset, owned.gap_from = behind, first
        done.offset_gaps, done.lost_offsets = 1, max(0, behind - first)
        return done

    async def _account(self, frames: Frames, done: Committed) -> Batch:
        unknown = keys_of(frames) - self._sequences.keys()
        if unknown:
            self._sequences |= await load_sequences(self._connection, sorted(unknown))
        behind = [key for key in keys_of(frames) if self.owned[key.topic, key.partition].gap_from is not None]
        before = {key: self._sequences[key].missing for key in behind}
        batch = account_frames(frames, self._sequences)
        for key in behind:
            partition, more = (key.topic, key.partition), max(0, self._sequences[key].missing - before[key])
            done.missed[partition] = done.missed.get(partition, 0) + more
        return batch

    async def _move_cursors(self, frames: Frames, done: Committed) -> None:
        spans = frames.spans
        for partition, span in spans.items():
            self._check_position(partition, span)
        await fence(
            self._connection,
            self._owner,
            {partition: (self.owned[partition].next_offset, span.last + 1) for partition, span in spans.items()},
        )
        for partition, span in spans.items():
            expected = self.owned[partition].next_offset
            if span.first > expected:
                await record_offset_gap(self._connection, partition, expected, span.first - 1)
                done.offset_gaps += 1
                done.lost_offsets += span.first - expected
        for partition, readings in done.missed.items():
            gap_from = self.owned[partition].gap_from
            if gap_from is not None:
                await record_gap_readings(self._connection, partition, gap_from, readings)

    def _check_position(self, partition: Partition, span: Span) -> None:
        owned = self.owned[partition]
        contiguous = span.first == owned.next_offset and span.last - span.first + 1 == span.records
        if not contiguous and not owned.may_jump:
            raise PositionError(
                f"{partition[0]}/{partition[1]}: {span.records} records {span.first}..{span.last}, expected from {owned.next_offset} on"
            )

    async def _load_ends(self, series: npt.NDArray[np.intp]) -> None:
        # no reading is older than 1970, and PostgreSQL's times begin somewhere
        closed_until_us = np.maximum(self._closed_until()[series], 0)
        await load_stored_ends(self._connection, self._table, series, closed_until_us)

    async def _flagged(self, columns: Columns) -> Columns:
        """Flags that are set here, by order of arrival; what the frame says of them is not believed."""
        if len(columns) == 0:
            return columns
        series = np.unique(columns.series).astype(np.intp)
        unread = series[~self._table.column("loaded")[series]]
        await self._load_ends(unread)
        await self._stuck.remember(self._rows, unread)
        stuck = await off_loop(len(columns), self._stuck.flags, columns)
        return replace(columns, flags=(columns.flags & ~_SET_HERE) | stuck)

    async def _store(self, batch: Batch, ready: Sorted, done: Committed) -> Sorted:
        """Store the distinct readings; returns those that were new, with their final flags."""
        columns = ready.columns
        if len(columns) == 0:
            settle(batch, np.empty(0, np.int32))
            return ready
        flags = columns.flags | np.where(self._is_late(ready), int(Flag.LATE), 0).astype(np.int32)
        readings = StoredReadings(
            self._table.column("series_id")[columns.series], columns.time_us, columns.values, flags
        )
        outcome = await self._in_key_order(
            readings, columns.time_us <= self._table.column("last_time_us")[columns.series]
        )
        self._refuse_by_database(batch, ready, outcome)
        settle(batch, columns.frame[outcome.new])
        done.stored, done.fell_back = int(outcome.new.sum()), outcome.fell_back
        kept = Columns(columns.series, columns.time_us, columns.values, flags, columns.frame).take(outcome.new)
        await write_stored_days(self._connection, stored_days(kept.time_us, ready.partition[outcome.new]))
        np.maximum.at(self._table.column("last_time_us"), kept.series, kept.time_us)
        return Sorted(kept, ready.partition[outcome.new])

    async def _in_key_order(self, readings: StoredReadings, maybe_stored: npt.NDArray[np.bool_]) -> Outcome:
        """Local indices follow the order of first sight, the primary key follows ids: sort by it, and give the answer back unsorted."""
        order = np.argsort(readings.series_id, kind="stable")
        outcome = await store_readings(self._connection, readings.take(order), maybe_stored[order])
        new = np.empty_like(outcome.new)
        new[order] = outcome.new
        refused = {int(order[at]): words for at, words in outcome.refused.items()}
        return Outcome(new, refused, outcome.fell_back)

    def _refuse_by_database(self, batch: Batch, ready: Sorted, outcome: Outcome) -> None:
        columns = ready.columns
        for at, words in outcome.refused.items():
            series = int(columns.series[at])
            device = self._table.device_names[self._table.column("device")[series]]
            metric = METRIC_LIST[self._table.column("metric")[series]].name
            reading = RefusedReading(
                int(columns.frame[at]), FrameReject.REFUSED_BY_DATABASE, words, device, metric,
                int(columns.time_us[at]), float(columns.values[at]), int(columns.flags[at]),
            )  # fmt: skip
            refuse(batch, [reading])

    def _closed_until(self) -> npt.NDArray[np.int64]:
        """Per local series: before which moment its windows are closed."""
        by_number = np.full(int(self._table.column("partition").max(initial=0)) + 1, NEVER_US, np.int64)
        for (_, number), windows in self._windows():
            if windows.closed_until_us is not None:
                by_number[number : number + 1] = windows.closed_until_us
        closed: npt.NDArray[np.int64] = by_number[self._table.column("partition")]
        return closed

    def _windows(self) -> list[tuple[Partition, PartitionWindows]]:
        return [(partition, owned.windows) for partition, owned in self.owned.items() if owned.windows is not None]

    def _is_late(self, ready: Sorted) -> npt.NDArray[np.bool_]:
        return ready.columns.time_us < self._closed_until()[ready.columns.series]

    async def _revise_and_add(self, new: Sorted, done: Committed) -> None:
        columns = new.columns
        late = (columns.flags & int(Flag.LATE)) != 0
        readings = OpenReadings(columns.series, columns.time_us, columns.values, columns.flags)
        done.late = int(late.sum())
        revised = await Revision(self._rows, self._table, self._zone, self._closed_until()).run(readings.take(late))
        done.count_windows(revised, "revised")
        for (_, number), windows in self._windows():
            windows.add(readings.take(~late & (new.partition == number)))
            if revised:
                rows = revised["windows_1m"]
                mine = self._table.column("partition")[self._table.index_of(rows.series_id)] == number
                windows.revise_held(rows.take(mine))

    def _observe(self, frames: Frames, ready: Sorted, now_us: int) -> None:
        for partition, span in frames.spans.items():
            clock = self.owned[partition].clock
            if clock is not None:
                of_partition = ready.columns.time_us[ready.partition == partition[1]]
                clock.observe(of_partition, append_us=span.last_append_ms * 1000, now_us=now_us)

    async def _close_and_judge(self, partitions: Iterable[Partition], new: Sorted | None, done: Committed) -> None:
        due: dict[int, tuple[PartitionWindows, int]] = {}
        for partition in partitions:
            windows, clock = self.owned[partition].windows, self.owned[partition].clock
            if windows is not None and clock is not None and clock.value_us is not None:
                due[partition[1]] = windows, clock.value_us
        done.changes += await self._closer.close(due, partial(_readings_of, new), done.count_windows)

    def _heads(self) -> dict[int, int | None]:
        """The newest believable event time of each partition."""
        clocks = {partition[1]: owned.clock for partition, owned in self.owned.items() if owned.clock is not None}
        return {
            number: None if clock.value_us is None else clock.value_us + clock.policy.lateness_us
            for number, clock in clocks.items()
        }

    def _watermarks(self) -> dict[int, int | None]:
        return {
            partition[1]: owned.clock.value_us for partition, owned in self.owned.items() if owned.clock is not None
        }

    async def _record(self, batch: Batch) -> None:
        await write_letters(self._connection, batch.letters)
        await write_statements(self._connection, batch.frames.statements)
        await write_ledger(self._connection, batch.counts, self._sequences)
        await record_progress(self._connection, [self._progress(partition, batch) for partition in batch.frames.spans])

    def _progress(self, partition: Partition, batch: Batch | None = None) -> Progress:
        owned = self.owned[partition]
        counts = (
            [] if batch is None else [c for key, c in batch.counts.items() if (key.topic, key.partition) == partition]
        )
        return Progress(
            partition,
            None if owned.clock is None else owned.clock.value_us,
            None if owned.windows is None else owned.windows.closed_until_us,
            stored=sum(count.stored for count in counts),
            duplicate=sum(count.duplicate for count in counts),
            dead=sum(count.dead for count in counts) + (0 if batch is None else batch.unattributed.get(partition, 0)),
        )


def _readings_of(new: Sorted | None, number: int) -> OpenReadings:
    if new is None:
        return no_readings()
    columns = new.columns.take(new.partition == number)
    return OpenReadings(columns.series, columns.time_us, columns.values, columns.flags)
