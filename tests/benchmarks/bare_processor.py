"""The processor's route of a batch without Kafka and without the database: what a core of it can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np

from ingest.contract.topics import Topics
from processors.batch import account_frames, keys_of, settle, sort_distinct
from processors.columns import Partition, decode, to_columns
from processors.columns import Record as KafkaRecord
from processors.contract.rows import WindowRows
from processors.event_time import WatermarkPolicy
from processors.frame_sequence import FrameSequence
from processors.kernels.windows_of import empty_rows
from processors.ledger import LedgerKey
from processors.partition_clock import PartitionClock
from processors.pgcopy import readings_copy, windows_copy
from processors.rollup import write_closings
from processors.series import SeriesTable
from processors.stuck_watch import StuckWatch
from processors.windows import OpenReadings, PartitionWindows
from tests.processors.gateway import PARTITIONS, Record
from tests.processors.known import Row, known
from tests.processors.memory_store import MemoryStore

FUTURE_US = 300_000_000
LATENESS_US = 120_000_000
APPENDED_MS = 1_800_000_000_000


@dataclass(slots=True)
class Taken:
    """A record as Kafka would give it."""

    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None


class Nowhere(MemoryStore):
    """Rows are made into their COPY stream, which nobody receives; quarters are kept as columns for the hours made of them."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts
        self._quarters: list[WindowRows] = []

    async def insert_rows(self, table: str, rows: WindowRows) -> None:
        """See `RowStore`."""
        if len(rows):
            self._counts[table] += len(rows)
            windows_copy(rows)
            if table == "windows_15m":
                self._quarters.append(rows)

    async def fetch_rows(
        self, table: str, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> WindowRows:
        """See `RowStore`; hours and days ask for quarters, and for the same span of all series."""
        assert table == "windows_15m"
        rows = WindowRows.concatenate(self._quarters) if self._quarters else empty_rows()
        wanted = (
            np.isin(rows.series_id, np.asarray(series_id))
            & (rows.start_us >= first_us[0])
            & (rows.start_us < until_us[0])
        )
        return rows.take(wanted)


class BareProcessor:
    """Everything `Checkpoint.commit` does with columns, in its order. `rows`: window rows made, by table."""

    def __init__(self, topics: Topics) -> None:
        self._topics, self._zone = topics, ZoneInfo("UTC")
        self._table = SeriesTable(PARTITIONS)
        self._stuck = StuckWatch(self._table)
        self._sequences: dict[LedgerKey, FrameSequence] = {}
        self._windows = [PartitionWindows(self._table, self._zone) for _ in range(PARTITIONS)]
        self._clocks = [PartitionClock(WatermarkPolicy(LATENESS_US, 60_000_000), None, 0) for _ in range(PARTITIONS)]
        self.rows: Counter[str] = Counter()
        self._store = Nowhere(self.rows)
        self.readings = 0

    async def run(self, records: Sequence[Record], batch_records: int) -> None:
        """Take all records, so many of each partition in a batch."""
        queues = [[record for record in records if record.partition == number] for number in range(PARTITIONS)]
        for low in range(0, max(map(len, queues)), batch_records):
            batch: dict[Partition, list[KafkaRecord]] = {
                (self._topics.readings, number): [
                    Taken(low + at, APPENDED_MS, record.headers, record.value)
                    for at, record in enumerate(queue[low : low + batch_records])
                ]
                for number, queue in enumerate(queues)
            }
            await self._take(batch)

    async def _take(self, records: dict[Partition, list[KafkaRecord]]) -> None:
        frames = decode(records, self._topics)
        for key in keys_of(frames) - self._sequences.keys():
            self._sequences[key] = FrameSequence()
        batch = account_frames(frames, self._sequences)
        columns, refused = to_columns(batch.fresh, self._table, now_us=APPENDED_MS * 1000, future_limit_us=FUTURE_US)
        assert not refused
        await self._name_series()
        columns = replace(columns, flags=columns.flags | self._stuck.flags(columns))
        ready = sort_distinct(batch, columns)
        kept = ready.columns
        ids = self._table.column("series_id")[kept.series]
        order = np.argsort(ids, kind="stable")
        readings_copy(ids[order], kept.time_us[order], kept.values[order], kept.flags[order])
        settle(batch, ready.columns.frame)
        self.readings += len(ready)
        closings = {}
        for number, (windows, clock) in enumerate(zip(self._windows, self._clocks, strict=True)):
            mine = ready.columns.take(ready.partition == number)
            windows.add(OpenReadings(mine.series, mine.time_us, mine.values, mine.flags))
            clock.observe(mine.time_us, append_us=APPENDED_MS * 1000, now_us=APPENDED_MS * 1000)
            if (closing := windows.close(clock.value_us)) is not None:
                closings[number] = closing
        await write_closings(self._store, self._table, self._zone, closings)

    async def _name_series(self) -> None:
        """Ids as the database would give them."""
        waiting = self._table.take_waiting()
        if waiting:
            rows = (Row(new.index + 1, new.index, new.device, new.metric.name, 0, 10, new.partition) for new in waiting)
            self._table.learn(known(*rows), fresh=True)
            await self._stuck.remember(self._store, np.array([new.index for new in waiting], np.intp))
