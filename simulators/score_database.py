"""Reads what `simulate score` compares: rows through COPY as columns, windows, dead letters. Reads only; a deadline on every question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.contract.operating import EXIT_TROUBLE, UserError
from simulators.ledger import digest
from simulators.noise import Ints
from simulators.score import Stored
from simulators.settings import ScoreDatabase

_PG_EPOCH_US = 946_684_800_000_000
_COPY_HEAD = 19
_QUESTION_S = 120.0
WINDOW_SIZES = ("1m", "15m", "1h", "1d")
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters received in the ledger's time: `digests` of their messages, `readings` by reason."""

    digests: npt.NDArray[np.uint64]
    readings: Ints
    reasons: list[str]


class ScoreReader:
    """One connection to the database; `series` are the ledger's (device, metric) keys, whose order gives the series their index."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, settings: ScoreDatabase) -> ScoreReader:
        """Connect.

        Raises:
            UserError: the database cannot be reached.
        """
        try:
            connection = await asyncpg.connect(
                settings.dsn.get_secret_value(), timeout=settings.connect_timeout_s, command_timeout=_QUESTION_S,
                server_settings={"application_name": "citynerve-score", "timezone": "UTC", "jit": "off"},
            )  # fmt: skip
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            said = f"cannot reach the database: {error or 'no answer'}; set [database] dsn or --dsn"
            raise UserError(said, exit_code=EXIT_TROUBLE) from None
        return cls(connection)

    async def close(self) -> None:
        """Hang up."""
        await self._connection.close(timeout=5)

    def snapshot(self) -> Any:
        """A transaction that sees one moment of the database: readings and the windows that belong to them."""
        return self._connection.transaction(isolation="repeatable_read", readonly=True)

    async def series(self, keys: Sequence[tuple[str, str]]) -> dict[int, int]:
        """series_id -> index in `keys`, for those the database has."""
        index = {key: i for i, key in enumerate(keys)}
        devices = sorted({device for device, _ in keys})
        rows = await self._connection.fetch(
            "SELECT series_id, device, metric FROM city_view.series WHERE device = ANY($1)", devices
        )
        return {
            row["series_id"]: index[row["device"], row["metric"]]
            for row in rows
            if (row["device"], row["metric"]) in index
        }

    async def readings(self, series: dict[int, int], from_us: int, to_us: int) -> Stored:
        """All rows of the series in [from, to]."""
        query = (
            "SELECT series_id, time, value, flags::int4 FROM city_view.readings "
            f"WHERE series_id = ANY(ARRAY[{_ids(series)}]::int[]) AND time BETWEEN {_stamp(from_us)} AND {_stamp(to_us)}"
        )
        rows = await self._copy(query, [("series", ">i4"), ("time", ">i8"), ("value", ">f8"), ("flags", ">i4")])
        return Stored(
            _index(rows["series"], series), rows["time"].astype(np.int64) + _PG_EPOCH_US, rows["value"].astype(np.float64),
            rows["flags"].astype(np.int64),
        )  # fmt: skip

    async def windows(
        self, size: str, series: dict[int, int], from_us: int, to_us: int
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """(series, start, end, count) of the windows wholly inside [from, to]; a day is the city's local one, as long as it was."""
        query = (
            f"SELECT series_id, start, first_time, last_time, count::int4 FROM city.windows_{size} "
            f"WHERE series_id = ANY(ARRAY[{_ids(series)}]::int[]) "
            f"AND start BETWEEN {_stamp(from_us - _DAY_US - 3_600_000_000)} AND {_stamp(to_us)}"
        )
        fields = [("series", ">i4"), ("time", ">i8"), ("first", ">i8"), ("last", ">i8"), ("count", ">i4")]
        rows = await self._copy(query, fields)
        start = rows["time"].astype(np.int64) + _PG_EPOCH_US
        first, last = (rows[name].astype(np.int64) + _PG_EPOCH_US for name in ("first", "last"))
        whole = (first >= from_us) & (last <= to_us)
        # a local day ends where the next begins: 23, 24 or 25 hours later; its last reading bounds it from below, so count up to that
        end = last + 1 if size == "1d" else start + {"1m": 60, "15m": 900, "1h": 3600}[size] * 1_000_000
        return _index(rows["series"], series)[whole], start[whole], end[whole], rows["count"].astype(np.int64)[whole]

    async def dead_letters(self, from_us: int) -> DeadLetters:
        """The dead letters received since `from_us`."""
        query = (
            f"SELECT mqtt_topic, payload, reason, readings FROM city.dead_letters WHERE received >= {_stamp(from_us)}"
        )
        rows = await self._connection.fetch(query)
        return DeadLetters(
            np.asarray([digest(row["mqtt_topic"], row["payload"]) for row in rows], dtype=np.uint64),
            np.asarray([row["readings"] for row in rows], dtype=np.int64),
            [row["reason"] for row in rows],
        )

    async def _copy(self, query: str, fields: list[tuple[str, str]]) -> npt.NDArray[Any]:
        """The answer as a structured array. No column may be null: then every row has the same length, and numpy reads them at once."""
        pieces: list[bytes] = []

        async def keep(data: bytes) -> None:
            pieces.append(bytes(data))

        await self._connection.copy_from_query(query, output=keep, format="binary")
        layout = [("columns", ">i2")]
        for name, kind in fields:
            layout += [(f"{name}_length", ">i4"), (name, kind)]
        body = b"".join(pieces)
        return np.frombuffer(body[_COPY_HEAD:-2], dtype=np.dtype(layout))


def _ids(series: dict[int, int]) -> str:
    return ",".join(str(series_id) for series_id in series)


def _stamp(at_us: int) -> str:
    return f"(timestamptz 'epoch' + {at_us} * interval '1 microsecond')"


def _index(series_ids: npt.NDArray[Any], series: dict[int, int]) -> Ints:
    known = np.asarray(sorted(series), dtype=np.int64)
    place = np.asarray([series[int(i)] for i in known], dtype=np.int64)
    if not len(known):
        return np.zeros(0, np.int64)
    return place[np.searchsorted(known, series_ids.astype(np.int64))]
