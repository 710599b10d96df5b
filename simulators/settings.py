"""Settings of the simulators: section [simulators], and what they need of [city], [mqtt] and [database]."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from ingest.contract.addresses import checked_dsn


class SimulatorSettings(BaseModel):
    """Section [simulators]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: int = Field(1, ge=1, le=64, description="MQTT connections; a device always uses the same one")
    in_flight: int = Field(1000, ge=1, le=20_000, description="messages a connection leaves unacknowledged")
    fsync_every_s: float = Field(1.0, ge=0.05, le=60, description="the ledger file is on disk at least this often")
    drain_s: float = Field(30.0, ge=0, le=3600, description="how long the end waits for the last acknowledgements")
    retry_s: float = Field(0.5, ge=0.05, le=60, description="pause before a message that was not taken is sent again")


class CityPlace(BaseModel):
    """What the simulators need of section [city]; the other fields belong to others."""

    model_config = ConfigDict(frozen=True, extra="ignore")

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
        """The zone of the city's clocks."""
        return ZoneInfo(self.time_zone)


class ScoreDatabase(BaseModel):
    """What `simulate score` needs of section [database]: where it is. (Simulators import nothing of the processors.)"""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dsn: SecretStr = SecretStr("postgresql://citynerve@127.0.0.1:25432/citynerve")
    connect_timeout_s: float = Field(5.0, gt=0, le=60)

    @field_validator("dsn")
    @classmethod
    def _is_postgres(cls, dsn: SecretStr) -> SecretStr:
        checked_dsn(dsn.get_secret_value())
        return dsn
