"""Posts alarms to Alertmanager: at once when they change, again every minute while they are open, and as resolved when they clear.

An open alarm is posted with an end in the near future that each post moves on: should this service die, Alertmanager keeps the alert for
four intervals and then lets go, as it does with a dead Prometheus.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
import msgspec

from control_center.metrics import ControlMetrics

_log = logging.getLogger(__name__)

KEPT_INTERVALS: Final = 4
_POST: Final = 200

_COLUMNS: Final = """a.alarm_id, a.rule_id, a.device, d.name, d.district, a.metric, a.severity, a.state, a.notified,
    a.raised_at, a.raised_value, a.raised_detail, a.cleared_at"""
_OPEN: Final = f"""SELECT {_COLUMNS} FROM city.alarms a LEFT JOIN city.devices d USING (device)
    WHERE (a.state <> 'cleared' OR a.notified <> 'resolved') AND a.alarm_id > $1 ORDER BY a.alarm_id LIMIT {_POST}"""
_UNTOLD: Final = f"""SELECT {_COLUMNS} FROM city.alarms a LEFT JOIN city.devices d USING (device)
    WHERE (a.state <> 'cleared' OR a.notified <> 'resolved') AND (a.state = 'cleared' OR a.notified = 'no')
        AND a.alarm_id > $1 ORDER BY a.alarm_id LIMIT {_POST}"""
_ACCEPTED: Final = """
    WITH told AS (
        UPDATE city.alarms a SET notified = p.notified FROM unnest($1::bigint[], $2::text[]) AS p(alarm_id, notified)
        WHERE a.alarm_id = p.alarm_id AND a.notified <> p.notified RETURNING a.alarm_id, p.notified)
    INSERT INTO city.alarm_events (alarm_id, event, detail, published_at)
    SELECT alarm_id, 'notified', jsonb_build_object('alertmanager', notified), now() FROM told"""
_FAILED: Final = """
    INSERT INTO city.alarm_events (alarm_id, event, detail, published_at)
    SELECT id, 'notify_failed', jsonb_build_object('reason', $2::text), now() FROM unnest($1::bigint[]) AS id
    WHERE NOT EXISTS (
        SELECT 1 FROM city.alarm_events e WHERE e.alarm_id = id AND e.event = 'notify_failed' AND e.event_id > coalesce(
            (SELECT max(event_id) FROM city.alarm_events t WHERE t.alarm_id = id AND t.event = 'notified'), 0))"""


@dataclass(frozen=True, slots=True)
class Links:
    """Where an alert leads: this service's own page, and Prometheus for alarms about the data's way. Empty: no link."""

    page: str = ""
    prometheus: str = ""

    def of(self, alarm_id: int, kind: str | None) -> str | None:
        """The address for one alarm."""
        if kind == "internal" and self.prometheus:
            return f"{self.prometheus}/graph?g0.expr=citynerve_control_ledger_readings&g0.range_input=6h"
        return f"{self.page}/?alarm={alarm_id}" if self.page else None


def alert(alarm: Mapping[str, Any], *, now: datetime, interval_s: float, links: Links) -> dict[str, Any]:
    """One alert in the shape of Alertmanager's API v2 (POST /api/v2/alerts).

    Labels name the alarm exactly (alarm_id): an alarm that comes again is another alert and cannot be resolved by the earlier one's end.
    """
    detail = json.loads(alarm["raised_detail"])
    rule = detail.get("rule", {})
    cleared = alarm["state"] == "cleared"
    labels = {
        "alertname": alarm["rule_id"],
        "alarm_id": str(alarm["alarm_id"]),
        "device": alarm["device"],
        "metric": alarm["metric"],
        "severity": alarm["severity"],
        "district": alarm["district"],
        "source": "citynerve",
    }
    annotations = {
        "summary": rule.get("title_en"),
        "summary_vi": rule.get("title_vi"),
        "description": rule.get("advice_en"),
        "description_vi": rule.get("advice_vi"),
        "device_name": alarm["name"],
        "value": None if alarm["raised_value"] is None else f"{alarm['raised_value']:g}",
    }
    link = links.of(alarm["alarm_id"], rule.get("kind"))
    # a device clock may lead by minutes; Alertmanager refuses an alert that ends before it starts
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": min(alarm["raised_at"], now),
        "endsAt": now if cleared else now + timedelta(seconds=KEPT_INTERVALS * interval_s),
        **({"generatorURL": link} if link else {}),
    }


class Notifier:
    """Keeps Alertmanager told. It has its own connections and deadline, so nothing else ever waits for it."""

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        metrics: ControlMetrics,
        *,
        url: str,
        links: Links,
        interval_s: float,
        timeout_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        # Alertmanager resolves what ends in its past: a clock an hour behind would take every alarm back
        self._now = now
        self._pool = pool
        self._metrics = metrics
        self._links = links
        self._interval_s = interval_s
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout_s, follow_redirects=False, trust_env=False)
        self._failing = False

    async def tell(self, *, everything: bool) -> bool:
        """Post alarms whose last change is untold, or all open ones too; False where any post was not accepted."""
        accepted, last = True, 0
        while alarms := await self._pool.fetch(_OPEN if everything else _UNTOLD, last):
            accepted = await self._post(alarms) and accepted
            last = alarms[-1]["alarm_id"]
        return accepted

    async def _post(self, alarms: Sequence[asyncpg.Record]) -> bool:
        now = self._now()
        alerts = [alert(dict(alarm), now=now, interval_s=self._interval_s, links=self._links) for alarm in alarms]
        ids = [alarm["alarm_id"] for alarm in alarms]
        reason = await self._send(msgspec.json.encode(alerts))
        if reason is None:
            self._metrics.notifications.labels("accepted").inc(len(alarms))
            told = ["resolved" if alarm["state"] == "cleared" else "firing" for alarm in alarms]
            await self._pool.execute(_ACCEPTED, ids, told)
            self._failing = False
            return True
        outcome, text = reason
        self._metrics.notifications.labels(outcome).inc(len(alarms))
        await self._pool.execute(_FAILED, ids, text)
        if not self._failing:  # one line an outage, not one a minute
            _log.warning("alertmanager did not accept alerts", extra={"fields": {"outcome": outcome, "reason": text}})
        self._failing = True
        return False

    async def _send(self, body: bytes) -> tuple[str, str] | None:
        try:
            response = await self._client.post(
                "/api/v2/alerts", content=body, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            return "unreachable", f"{type(error).__name__}: {error}"[:300]
        if response.is_success:
            return None
        return "refused", f"{response.status_code}: {response.text}"[:300].replace("\x00", "")

    async def close(self) -> None:
        """Close the connections to Alertmanager."""
        await self._client.aclose()
