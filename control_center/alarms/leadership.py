"""One replica at a time turns conditions into alarms: whoever holds an advisory lock of the database.

The changes are taken on the very connection that holds the lock. Should that connection die, the lock and the work die together, so two
leaders cannot commit side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from control_center.alarms.store import Connection
from processors.contract.database import DatabaseSettings

_LOCK: Final = 0x43_4E_41_4C  # "CNAL"; advisory locks are per database
_RETRY_S: Final = 2.0


@contextlib.asynccontextmanager
async def leadership(database: DatabaseSettings) -> AsyncIterator[Connection]:
    """Wait until this replica leads; the connection yielded holds the lock and gives it back at the end."""
    connection = await database.connect("citynerve-alarms")
    try:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - no event tells of a lock
            await asyncio.sleep(_RETRY_S)
        yield connection
    finally:
        connection.terminate()
