"""Keeps a board of rules per partition and judges what a batch brought, inside the batch's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import numpy.typing as npt

from processors.condition_board import WatchedSeries, board_of, lost_pairs
from processors.condition_changes import Step, joined, retired
from processors.condition_pairs import NONE_US, Board, CompiledRules, ConditionRow, compile_rules, rows_of
from processors.conditions import advance, judge_readings, judge_windows
from processors.conditions_store import (
    forget_conditions,
    load_conditions,
    load_rules,
    rules_version,
    write_changes,
    write_conditions,
)
from processors.contract.rows import WindowRows
from processors.contract.tables import WINDOW_SIZES_S
from processors.kernels.starts import starts_local_day
from processors.series import METRIC_LIST, SeriesTable
from processors.windows import OpenReadings, no_readings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_REFRESH_US = 1_000_000
_METRIC_NAMES = tuple(metric.name for metric in METRIC_LIST)


class Judge:
    """Conditions of the partitions given to `begin`."""

    def __init__(self, connection: Connection, table: SeriesTable, zone: ZoneInfo) -> None:
        self._connection, self._table, self._zone = connection, table, zone
        self._rules: CompiledRules = compile_rules([])
        self._version: tuple[int, ...] | None = None
        self._looked_at_us = 0
        self._boards: dict[int, Board] = {}
        self._known: dict[int, int] = {}  # series a partition's board was made for

    @property
    def watches_absence(self) -> bool:
        """Whether any rule asks for silent devices, so that the newest reading of every series must be known."""
        return any(rule.kind == "absence" for rule in self._rules.rules)

    async def begin(self, partitions: list[int]) -> None:
        """Load rules and stored states after the take-over of partitions."""
        await self._load_rules()
        for number in partitions:
            self._boards[number] = self._board(number, await load_conditions(self._connection, number))

    async def refresh(self, watermarks: Mapping[int, int | None], now_us: int) -> int:
        """At most once a second, inside a transaction: take changed rules over. Returns how many conditions ended by it."""
        if now_us - self._looked_at_us < _REFRESH_US:
            return 0
        self._looked_at_us = now_us
        if await rules_version(self._connection) == self._version:
            return 0
        await self._load_rules()
        ended = 0
        for number, old in list(self._boards.items()):
            new = self._board(number, before=old)
            watermark_us, lost = watermarks.get(number), lost_pairs(old, new)
            changes = retired(old, lost, now_us if watermark_us is None else watermark_us)
            gone = [row for source, pairs in lost.items() for row in rows_of(old, source, pairs)]
            await forget_conditions(self._connection, {(row.rule_id, row.subject) for row in gone})
            await write_changes(self._connection, changes)
            self._boards[number] = new
            ended += len(changes)
        return ended

    async def judge(
        self, number: int, readings: OpenReadings, closed: Mapping[str, WindowRows], watermark_us: int
    ) -> int:
        """Judge what partition `number` stored and closed, and what came due; writes and counts the changes."""
        return await self._apply(number, readings, closed, watermark_us)

    async def judge_part(self, number: int, closed: Mapping[str, WindowRows]) -> int:
        """Judge windows of some series; `judge` follows once those of the others are judged too, and raises what came due."""
        return await self._apply(number, no_readings(), closed, None)

    async def _apply(
        self, number: int, readings: OpenReadings, closed: Mapping[str, WindowRows], watermark_us: int | None
    ) -> int:
        if not self._rules.rules:
            return 0
        if self._known.get(number) != self._count(number):
            self._boards[number] = self._board(number, before=self._boards[number])
        step = await asyncio.to_thread(self._step, number, readings, closed, watermark_us)
        self._boards[number] = step.board
        await write_conditions(self._connection, number, step.rows)
        await write_changes(self._connection, step.changes)
        return len(step.changes)

    def _step(
        self, number: int, readings: OpenReadings, closed: Mapping[str, WindowRows], watermark_us: int | None
    ) -> Step:
        step = Step(self._boards[number])
        if len(readings) and watermark_us is not None:
            ids = self._table.column("series_id")[readings.series]
            step = judge_readings(step.board, ids, readings.time_us, readings.values, watermark_us)
        for table, rows in closed.items():
            if len(rows):
                source = table.removeprefix("windows_")
                step = joined(step, judge_windows(step.board, source, rows, self._ends(table, rows.start_us)))
        return step if watermark_us is None else joined(step, advance(step.board, watermark_us))

    def _ends(self, table: str, start_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if table in WINDOW_SIZES_S:
            return start_us + WINDOW_SIZES_S[table] * 1_000_000
        return starts_local_day(start_us, self._zone)[1]

    async def _load_rules(self) -> None:
        # the version first: a rule changed in between is then loaded once more, never missed
        self._version = await rules_version(self._connection)
        self._rules = compile_rules(await load_rules(self._connection))

    def _count(self, number: int) -> int:
        return int((self._table.column("partition") == number).sum())

    def _board(self, number: int, rows: Sequence[ConditionRow] = (), before: Board | None = None) -> Board:
        self._known[number] = self._count(number)
        mine = np.flatnonzero(self._table.column("partition") == number if self._rules.rules else [])
        column = self._table.column
        last_us = column("last_time_us")[mine]
        series = WatchedSeries(
            series_id=column("series_id")[mine],
            device_id=column("device_id")[mine],
            device=column("device")[mine],
            metric=column("metric")[mine],
            interval_s=column("interval_s")[mine],
            last_time_us=np.where(last_us > 0, last_us, NONE_US),
            device_names=self._table.device_names,
            metric_names=_METRIC_NAMES,
        )
        return board_of(self._rules, series, rows, before)
