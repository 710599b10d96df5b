"""How to reach the database: the settings group, and connections that fail within a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from ingest.contract.addresses import checked_dsn


class DatabaseSettings(BaseModel):
    """Section [database]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dsn: SecretStr = SecretStr("postgresql://citynerve@127.0.0.1:25432/citynerve")
    connect_timeout_s: float = Field(5.0, gt=0, le=60)
    command_timeout_s: float = Field(30.0, gt=0, le=600)
    lock_timeout_ms: int = Field(15_000, ge=100, le=120_000)

    @field_validator("dsn")
    @classmethod
    def _is_postgres(cls, dsn: SecretStr) -> SecretStr:
        checked_dsn(dsn.get_secret_value())
        return dsn

    def _options(self, application: str) -> dict[str, Any]:
        return {
            "dsn": self.dsn.get_secret_value(),
            "timeout": self.connect_timeout_s,
            "command_timeout": self.command_timeout_s,
            "server_settings": {
                "application_name": application,
                "timezone": "UTC",
                "search_path": "city,public",
                "lock_timeout": str(self.lock_timeout_ms),
                "idle_in_transaction_session_timeout": str(int(self.command_timeout_s * 2000)),
            },
        }

    async def connect(self, application: str) -> asyncpg.Connection[asyncpg.Record]:
        """One connection; `application` names it in pg_stat_activity."""
        return await asyncpg.connect(**self._options(application))

    async def pool(
        self, application: str, *, max_size: int = 5, server_settings: Mapping[str, str] | None = None
    ) -> asyncpg.Pool[asyncpg.Record]:
        """A pool of at most `max_size` connections, opened on demand; `server_settings` are added to every session."""
        options = self._options(application)
        options["server_settings"] |= dict(server_settings or {})
        return await asyncpg.create_pool(min_size=0, max_size=max_size, **options)


class CitySettings(BaseModel):
    """Section [city]: what every stage must agree on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "CityNerve demo city"
    time_zone: str = "Europe/Brussels"
    latitude: float = Field(51.05, ge=-90, le=90)
    longitude: float = Field(3.73, ge=-180, le=180)

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            raise ValueError(f"{name!r} is not an IANA time zone, e.g. Asia/Ho_Chi_Minh") from None
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The zone of local days."""
        return ZoneInfo(self.time_zone)
