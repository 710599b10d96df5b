"""Settings of the processors: section [processors], read once into a frozen value."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ProcessorSettings(BaseModel):
    """Section [processors]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("processor-1", pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")
    """Names this member of the consumer group; two that run at once need two names."""
    http_host: str = "127.0.0.1"
    http_port: int = Field(28082, ge=0, le=65535)
    batch_max_readings: int = Field(50_000, ge=1, le=1_000_000)
    """A batch ends after the frame that reaches this many readings."""
    batch_max_wait_ms: int = Field(200, ge=1, le=10_000)
    """A batch that could be committed waits at most this long for more frames; one that nothing follows does not wait."""
    allowed_lateness_s: float = Field(30.0, ge=0, le=86_400)
    """A window stays open until the newest reading of its partition is this much past its end."""
    idle_after_s: float = Field(60.0, ge=1, le=86_400)
    """Without a frame for this long, the watermark of a partition moves on at the pace of the wall clock."""
    future_limit_s: float = Field(86_400.0, ge=300, le=31_536_000)
    """Readings further ahead than this are dead letters: they would make chunks in years nobody looks at."""
    session_timeout_ms: int = Field(45_000, ge=6_000, le=300_000)
    stuck_after_s: float = Field(60.0, ge=5, le=3_600)
    """A partition with records waiting and no progress for this long ends the session, which then starts again."""
    restart_budget_s: float = Field(300.0, ge=1, le=86_400)
    """Failing without a single commit for this long ends the process, so that its supervisor sees it."""
    stop_budget_s: float = Field(15.0, ge=1, le=300)
    audit_interval_s: float = Field(60.0, ge=1, le=86_400)
    """Pause between two audits of the stored rows; longer where counting takes more than a twentieth of the time."""
    fleet_interval_s: float = Field(10.0, ge=1, le=3_600)
    """Pause between two rounds of the fleet's sums; longer where a round takes more than a quarter of it."""

    @model_validator(mode="after")
    def _consistent(self) -> ProcessorSettings:
        if self.stuck_after_s * 1000 < self.batch_max_wait_ms:
            raise ValueError("stuck_after_s is shorter than batch_max_wait_ms; every quiet batch would look stuck")
        return self
