"""Section [ingest]: everything a gateway is told, checked before anything connects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Format = Literal["plain-json", "senml-json", "chirpstack-v4"]


class Route(BaseModel):
    """An MQTT topic filter, the format of what comes on it, and the device profile that gives it meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(min_length=1, max_length=1000)
    format: Format
    profile: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")

    @model_validator(mode="after")
    def _filter_is_valid(self) -> Route:
        levels = self.topic.split("/")
        if "#" in self.topic and (levels[-1] != "#" or self.topic.count("#") > 1):
            raise ValueError(f"topic {self.topic!r}: # stands only alone at the end")
        if any("+" in level and level != "+" for level in levels):
            raise ValueError(f"topic {self.topic!r}: + stands only alone in a level")
        if levels[0] == "$share":
            raise ValueError(
                f"topic {self.topic!r}: shared subscriptions lose messages on Mosquitto; give gateways disjoint filters"
            )
        return self


DEFAULT_ROUTES = (
    Route(topic="city/senml/+", format="senml-json", profile="canonical"),
    Route(topic="city/json/+", format="plain-json", profile="canonical"),
    Route(topic="application/+/device/+/event/+", format="chirpstack-v4", profile="lorawan"),
)

RETRY_GATEWAY = "retry"
"""The gateway under which retried dead letters come again."""


def default_state_dir() -> Path:
    """Where a gateway keeps its files: the XDG state folder, or /var/lib for root."""
    if os.geteuid() == 0:
        return Path("/var/lib/citynerve/ingest")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "citynerve" / "ingest"


class IngestSettings(BaseModel):
    """What a gateway is told. Sizes in bytes, times in the unit of their name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway_id: str = Field("gw-1", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    routes: tuple[Route, ...] = Field(DEFAULT_ROUTES, min_length=1)
    profiles_dir: Path | None = None

    flush_readings: int = Field(4096, ge=1, le=100_000)
    flush_age_ms: int = Field(100, ge=1, le=60_000)
    max_age_s: int = Field(24 * 3600, ge=60, le=100 * 366 * 86_400)
    max_ahead_s: int = Field(300, ge=0, le=86_400)
    max_payload_bytes: int = Field(262_144, ge=1024, le=2_097_152)
    max_channels: int = Field(1_000_000, ge=1000)

    receive_maximum: int = Field(8000, ge=1, le=65_535)
    session_expiry_s: int = Field(7 * 86_400, ge=60, le=4_294_967_294)
    max_unacked_messages: int = Field(16_000, ge=1)
    max_unacked_bytes: int = Field(64 * 1024 * 1024, ge=1_048_576)
    slice_messages: int = Field(2000, ge=1, le=5000)
    slice_bytes: int = Field(524_288, ge=1024)

    state_dir: Path = Field(default_factory=default_state_dir)
    spool_dir: Path | None = None
    spool_max_bytes: int = Field(1024 * 1024 * 1024, ge=1_048_576)
    spool_segment_bytes: int = Field(16 * 1024 * 1024, ge=65_536)
    deliver_deadline_s: float = Field(8.0, ge=1, le=600)
    spool_after_s: float = Field(3.0, ge=0.1, le=600)
    oversize_after_s: float = Field(600.0, ge=1, le=86_400)

    http_host: str = "127.0.0.1"
    http_port: int = Field(28081, ge=0, le=65_535)
    stop_budget_s: float = Field(10.0, ge=1, le=300)

    @model_validator(mode="after")
    def _consistent(self) -> IngestSettings:
        problems = []
        if self.receive_maximum > self.max_unacked_messages:
            problems.append(
                "receive_maximum is larger than max_unacked_messages; the socket would be paused all the time"
            )
        if self.spool_segment_bytes > self.spool_max_bytes // 2:
            problems.append(
                "spool_segment_bytes is more than half of spool_max_bytes; a drained part could never be freed"
            )
        if self.max_unacked_bytes < 4 * self.max_payload_bytes:
            problems.append("max_unacked_bytes holds less than four payloads of max_payload_bytes")
        if self.gateway_id == RETRY_GATEWAY:
            problems.append(f'gateway_id "{RETRY_GATEWAY}" is taken by `citynerve deadletters retry`; choose another')
        topics = [route.topic for route in self.routes]
        if len(set(topics)) != len(topics):
            problems.append("a topic stands in two routes; the second would never be used")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def gateway_dir(self) -> Path:
        """This gateway's own folder under `state_dir`."""
        return self.state_dir / self.gateway_id

    @property
    def spool_folder(self) -> Path:
        """Where frames wait while Kafka is away."""
        return self.spool_dir / self.gateway_id if self.spool_dir is not None else self.gateway_dir / "spool"
