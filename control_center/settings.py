"""Section [control]: what the control center's operator may set. Frozen, validated before anything connects."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ControlSettings(BaseModel):
    """Section [control].

    `gateways` and `processors`: name -> address of the status page of each, so that the page can say who waits for whom.
    An empty `alertmanager_url` or `prometheus_url` switches that link off. `rules_file` empty means the rules that come with CityNerve.
    `max_range_days` bounds one request for readings or 1-minute windows; coarser windows may span ten (15m) or a hundred (1h, 1d)
    times that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_host: str = "127.0.0.1"
    http_port: int = Field(28080, ge=0, le=65535)
    public_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    prometheus_url: str = "http://127.0.0.1:29090"
    alertmanager_url: str = "http://127.0.0.1:29094"
    gateways: dict[str, str] = {"gw-1": "http://127.0.0.1:28081"}
    processors: dict[str, str] = {"processor-1": "http://127.0.0.1:28082"}
    rules_file: Path | None = None
    database_pool: int = Field(4, ge=1, le=50)
    statement_timeout_ms: int = Field(5000, ge=100, le=60_000)
    max_range_days: int = Field(31, ge=1, le=3660)
    max_body_bytes: int = Field(64 * 1024, ge=1024, le=16 * 1024 * 1024)
    sse_max_clients: int = Field(200, ge=1, le=10_000)
    sse_live_interval_s: float = Field(0.5, ge=0.1, le=10)
    sse_ring: int = Field(1000, ge=10, le=100_000)
    sse_send_timeout_s: float = Field(20.0, ge=1, le=300)
    stale_after_intervals: float = Field(3.0, ge=1, le=1000)
    alarm_poll_s: float = Field(0.25, ge=0.05, le=10)
    notify_interval_s: float = Field(60.0, ge=1, le=3600)
    notify_timeout_s: float = Field(5.0, ge=0.1, le=60)
    unaccounted_after_s: float = Field(10.0, ge=0, le=3600)
    stop_budget_s: float = Field(10.0, ge=1, le=300)

    @field_validator("alertmanager_url", "prometheus_url", "public_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return _address(url, "http://127.0.0.1:29094 (empty: off)") if url else ""

    @field_validator("gateways", "processors")
    @classmethod
    def _are_http(cls, addresses: dict[str, str]) -> dict[str, str]:
        return {name: _address(url, "http://127.0.0.1:28081") for name, url in addresses.items()}

    @field_validator("rules_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def hosts(self) -> frozenset[str] | None:
        """Host names this service answers to; None means any (bound beyond loopback and no list given).

        A page of a foreign site can reach a loopback port through DNS rebinding; its Host header gives it away.
        """
        loopback = {"127.0.0.1", "localhost", "[::1]"}
        named = set(self.allowed_hosts) | {host for host in (urlsplit(self.public_url).hostname,) if host}
        if self.http_host in {"127.0.0.1", "::1", "localhost"}:
            return frozenset(loopback | named)
        return frozenset(loopback | named | {self.http_host}) if named else None


def _address(url: str, example: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not an http:// or https:// address, e.g. {example}")
    return url.rstrip("/")
