"""Every metric of the control center, on an injected registry, every label value created at 0."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.contract.waiting import Waiting

WAITS_FOR: Final = ("database", "kafka")
SEVERITIES: Final = ("critical", "warning", "info")
ALARM_EVENTS: Final = ("raised", "acknowledged", "cleared")
IGNORED_CHANGES: Final = ("already_open", "not_open", "unknown_rule", "unknown_subject")
NOTIFICATION_OUTCOMES: Final = ("accepted", "refused", "unreachable")
PUBLISH_OUTCOMES: Final = ("published", "failed")
NEIGHBOURS: Final = ("gateway", "processor")
DROP_REASONS: Final = ("slow", "overflow", "too_many_clients")
GAP_REASONS: Final = ("retention", "damaged", "recreated")
LEDGER_STATES: Final = (
    "received",
    "stored",
    "duplicate",
    "dead_letter",
    "refused",
    "in_flight",
    "unaccounted",
    "redelivered",
)


class ControlMetrics:
    """The metrics as attributes; docs/alarms.md and the dashboards know them by name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, text: str, label: str | None = None, values: tuple[str, ...] = ()) -> Counter:
            made = Counter(f"citynerve_control_{name}", text, [label] if label else [], registry=registry)
            for value in values:
                made.labels(value)
            return made

        def gauge(name: str, text: str, label: str | None = None, values: tuple[str, ...] = ()) -> Gauge:
            made = Gauge(f"citynerve_control_{name}", text, [label] if label else [], registry=registry)
            for value in values:
                made.labels(value)
            return made

        self.unaccounted = gauge(
            "unaccounted_readings",
            "Readings a gateway handed over that did not arrive, or that were stored and are gone",
        )
        self.doubled = gauge("doubled_readings", "Stored rows beyond what the processors say they stored")
        self.recent_gaps = gauge(
            "recent_offset_gaps", "Gaps found within a day: offsets that Kafka no longer had", "reason", GAP_REASONS
        )
        self.overdue_records = gauge(
            "overdue_records", "Unread records older than half of their topic's retention; NaN while unknown", "topic"
        )
        self.ledger = gauge("ledger_readings", "Readings of the ledger by what became of them", "state", LEDGER_STATES)
        self.active_alarms = gauge("active_alarms", "Alarms raised or acknowledged", "severity", SEVERITIES)
        self.stale_devices = gauge("stale_devices", "Devices silent for longer than their expected interval allows")
        self.wrong_clocks = gauge("devices_clock_wrong", "Devices heard of within a day whose clock is wrong")
        self.lag_seconds = gauge("lag_seconds", "Processors behind the readings topic, seconds; NaN while unknown")
        self.leading = gauge("alarms_leading", "1 where this replica turns conditions into alarms")
        self.alarm_changes = counter("alarm_changes_total", "Changes of alarms", "event", ALARM_EVENTS)
        self.alarm_changes_ignored = counter(
            "alarm_changes_ignored_total", "Condition changes that changed no alarm", "reason", IGNORED_CHANGES
        )
        self.alarm_restarts = counter("alarm_restarts_total", "Times the alarm stages began anew after trouble")
        self.published = counter(
            "alarm_events_published_total", "Alarm events sent to Kafka", "outcome", PUBLISH_OUTCOMES
        )
        self.notifications = counter(
            "notifications_total", "Alerts posted to Alertmanager", "outcome", NOTIFICATION_OUTCOMES
        )
        self.sse_clients = gauge("sse_clients", "Open live streams")
        self.sse_dropped = counter("sse_dropped_total", "Live streams ended or reset", "reason", DROP_REASONS)
        self.live_frames = counter("live_frames_total", "Frames read by the live tail")
        self.live_bad_frames = counter("live_bad_frames_total", "Records of the readings topic that are no frames")
        self.live_restarts = counter("live_restarts_total", "Times the live tail began anew after trouble")
        self._flow()
        self._http()

    def _flow(self) -> None:
        self.waiting = Waiting(self.registry, "control", "control-center", WAITS_FOR)
        self.neighbours = Gauge(
            "citynerve_control_neighbours_answering", "Gateways and processors whose /metrics answers", ["kind"],
            registry=self.registry,
        )  # fmt: skip
        for kind in NEIGHBOURS:
            self.neighbours.labels(kind)
        self.catching_up_left_s = Gauge(
            "citynerve_control_catching_up_left_seconds",
            "Seconds until the backlog is worked off at the present speed; NaN where there is none or no end",
            registry=self.registry,
        )

    def _http(self) -> None:
        self.http_requests = Counter(
            "citynerve_control_http_requests_total", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.http_seconds = Histogram(
            "citynerve_control_http_seconds", "Seconds until a response began", ["route"], registry=self.registry,
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
        )  # fmt: skip
