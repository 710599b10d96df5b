"""The platform dashboard: every stage's rates, delays, queues and losses, for whoever runs CityNerve."""

from __future__ import annotations

from deploy.grafana.classic import dashboards, schema
from deploy.grafana.metric_panels import RATE, lines, quantiles, tile
from deploy.grafana.panels import AMBER, GREEN, POSTGRES, Look, Panel, Steps, number, numbered, rows, sql

LEDGER = """
SELECT gateway, to_timestamp(epoch / 1000000) AS started, open, received, stored, duplicate, dead_letter, refused, in_flight, unaccounted,
       redelivered, spooled, last_seen
FROM city_view.ledger ORDER BY open DESC, epoch DESC LIMIT 100"""

DATABASE_SIZE = "SELECT pg_database_size(current_database()) AS value"

SESSIONS = """
SELECT coalesce(nullif(application_name, ''), '-') AS application, coalesce(state, '-') AS state, count(*) AS sessions,
       max(extract(epoch FROM now() - xact_start))::double precision AS longest_transaction_s
FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1, 2 ORDER BY 1, 2"""


def board() -> schema.Dashboard:
    """The whole dashboard."""
    built = dashboards.Dashboard("Platform").uid("citynerve-platform").tags(["citynerve", "platform"]).readonly()
    built = built.description(
        "Every stage of CityNerve: rates, delays, queues, losses. Alerts on the same numbers: deploy/prometheus/rules."
    )
    built = built.time("now-1h", "now").refresh("10s").timezone("browser").tooltip(schema.DashboardCursorSync.CROSSHAIR)
    for title, address in (("City (English)", "/d/citynerve-operators-en"), ("Thành phố", "/d/citynerve-operators-vi")):
        built = built.link(
            dashboards.DashboardLink(title).type(schema.DashboardLinkType.LINK).url(address).keep_time(keep_time=True)
        )
    for title, panels in (
        ("Is anything lost?", _custody()),
        ("Rates", _rates()),
        ("Delay", _delay()),
        ("Ingest: broker, Kafka, spool", _ingest()),
        ("Processors: event time, commits, owners", _processors()),
        ("Control center", _control()),
        ("Database", _database()),
    ):
        built = built.with_row(dashboards.Row(title))
        for panel in panels:
            built = built.with_panel(panel)
    return numbered(built.build())


def _custody() -> list[Panel]:
    return [
        tile(
            "Unaccounted",
            "Acknowledged, and neither stored nor refused. Must be 0.",
            "max(citynerve_control_unaccounted_readings)",
            bad_from=1,
        ),
        tile("Ingest up", "Gateways that answer.", 'sum(up{job="ingest"})', bad_below=1),
        tile("Processors up", "Processors that answer.", 'sum(up{job="processors"})', bad_below=1),
        tile("Control center up", "Control centers that answer.", 'sum(up{job="control"})', bad_below=1),
        tile("Largest lag", "Of any partition.", "max(citynerve_processor_lag_seconds)", unit="s", bad_from=60),
        tile(
            "Spool hours left",
            "Outage of Kafka that the disk still holds, at the present rate.",
            "min(citynerve_ingest_spool_hours_left)",
            unit="h",
            bad_below=4,
        ),
        lines(
            "Ledger",
            "What became of every reading that was received.",
            "short",
            ("{{state}}", "max by (state) (citynerve_control_ledger_readings)"),
            width=12,
        ),
        rows(
            Look("Ledger by life of a gateway", "A life is one run of the ingest process.", width=12),
            sql(LEDGER),
            {"started": [("unit", "dateTimeAsIso")], "last_seen": [("unit", "dateTimeAsIso")]},
            POSTGRES,
        ),
    ]


def _rates() -> list[Panel]:
    return [
        lines(
            "In and out",
            "Readings per second at each stage.",
            "cps",
            ("received", f"sum(rate(citynerve_ingest_readings_total{RATE}))"),
            ("{{outcome}}", f"sum by (outcome) (rate(citynerve_processor_readings_total{RATE}))"),
        ),
        lines(
            "Messages and frames",
            "Messages from the broker, frames to Kafka.",
            "cps",
            ("messages", f"sum(rate(citynerve_ingest_messages_total{RATE}))"),
            ("frames to {{topic}}", f"sum by (topic) (rate(citynerve_ingest_frames_total{RATE}))"),
            ("frames to the spool", f"sum(rate(citynerve_ingest_spooled_frames_total{RATE}))"),
            ("frames of {{topic}} processed", f"sum by (topic) (rate(citynerve_processor_frames_total{RATE}))"),
        ),
        lines(
            "Rejects by reason",
            "Dead letters and refusals; each is kept or counted with its reason.",
            "cps",
            ("{{reason}}", f"sum by (reason) (rate(citynerve_ingest_rejects_total{RATE})) > 0"),
            ("refused: {{reason}}", f"sum by (reason) (rate(citynerve_ingest_refused_total{RATE})) > 0"),
            ("bad frame: {{reason}}", f"sum by (reason) (rate(citynerve_processor_bad_frames_total{RATE})) > 0"),
            stacked=True,
        ),
        lines(
            "Readings in a frame",
            "Size of what goes to Kafka at once.",
            "short",
            *quantiles("citynerve_ingest_frame_readings"),
        ),
        lines(
            "Readings in a batch",
            "Size of what goes to the database at once.",
            "short",
            *quantiles("citynerve_processor_batch_readings"),
        ),
        lines(
            "Redelivered by the broker",
            "Messages that came twice; told apart, stored once.",
            "cps",
            ("redelivered", f"sum(rate(citynerve_ingest_duplicates_redelivered_total{RATE}))"),
        ),
    ]


def _delay() -> list[Panel]:
    return [
        lines(
            "Receive to commit",
            "From the broker's message to the committed row.",
            "s",
            *quantiles("citynerve_processor_end_to_end_seconds"),
        ),
        lines(
            "Receive to Kafka",
            "From the broker's message to Kafka's acknowledgement.",
            "s",
            *quantiles("citynerve_ingest_receive_to_kafka_seconds"),
        ),
        lines("Commit", "One database transaction.", "s", *quantiles("citynerve_processor_commit_seconds")),
        lines(
            "Lag",
            "Age of the next record that is not committed; 0 when caught up.",
            "s",
            ("{{topic}}/{{partition}}", "max by (topic, partition) (citynerve_processor_lag_seconds)"),
            width=12,
        ),
        lines(
            "Lag in records",
            "Frames waiting in Kafka.",
            "short",
            ("{{topic}}/{{partition}}", "max by (topic, partition) (citynerve_processor_lag_records)"),
            width=12,
        ),
    ]


def _ingest() -> list[Panel]:
    return [
        lines(
            "Connections",
            "1: connected.",
            "short",
            ("MQTT {{instance}}", "citynerve_ingest_mqtt_connected"),
            ("Kafka {{instance}}", "citynerve_ingest_kafka_up"),
        ),
        lines(
            "Connects and renewals",
            "Connects to the broker by outcome; Kafka producers replaced by reason.",
            "short",
            ("connect: {{outcome}}", f"sum by (outcome) (increase(citynerve_ingest_mqtt_connects_total{RATE}))"),
            ("producer: {{reason}}", f"sum by (reason) (increase(citynerve_ingest_producer_renewals_total{RATE}))"),
        ),
        lines(
            "Not yet acknowledged",
            "Messages ingest holds and the broker will send again if it dies; pauses: too many, the socket was left unread.",
            "short",
            ("{{instance}}", "citynerve_ingest_unacked_messages"),
            ("pauses {{instance}}", f"increase(citynerve_ingest_reading_paused_total{RATE})"),
        ),
        lines(
            "Spool",
            "Frames on disk while Kafka is away, and how many bytes it may hold.",
            "bytes",
            ("{{instance}}", "citynerve_ingest_spool_bytes"),
            ("room of {{instance}}", "citynerve_ingest_spool_max_bytes"),
        ),
        lines(
            "Who waits for whom",
            "Seconds that a service has waited for another to answer; 0: it waits for nobody.",
            "s",
            ("{{who}} for {{for}}", "citynerve_ingest_waiting_seconds"),
            ("{{who}} for {{for}}", "citynerve_processor_waiting_seconds"),
            ("{{who}} for {{for}}", "citynerve_control_waiting_seconds"),
        ),
        lines(
            "Spooled frames",
            "Frames on disk; damaged: lost to a bad disk record.",
            "short",
            ("{{instance}}", "citynerve_ingest_spool_frames"),
            ("damaged {{instance}}", "citynerve_ingest_spool_damaged_total"),
            ("mended {{instance}}", "citynerve_ingest_spool_mended_total"),
        ),
        lines(
            "Spool left",
            "Hours of outage the disk still holds at today's rate; full: acknowledging has stopped.",
            "h",
            ("{{instance}}", "citynerve_ingest_spool_hours_left"),
            ("full {{instance}}", "citynerve_ingest_spool_full"),
        ),
    ]


def _processors() -> list[Panel]:
    return [
        lines(
            "Watermark age",
            "How far event time is behind the clock; windows close behind it.",
            "s",
            ("partition {{partition}}", "max by (partition) (citynerve_processor_watermark_age_seconds)"),
        ),
        lines(
            "Windows written",
            "Closed for the first time, or revised by late data.",
            "cps",
            ("{{size}} {{kind}}", f"sum by (size, kind) (rate(citynerve_processor_windows_written_total{RATE}))"),
        ),
        lines(
            "Late readings",
            "Came after their minute had closed; the minute was revised.",
            "cps",
            ("late", f"sum(rate(citynerve_processor_late_readings_total{RATE}))"),
        ),
        lines(
            "Owned partitions",
            "Who works on how many.",
            "short",
            ("{{instance}}", "citynerve_processor_owned_partitions"),
            stacked=True,
        ),
        lines(
            "Starting again",
            "Restarts by reason; fenced: another owner has the cursor; gaps: Kafka deleted what was not yet read.",
            "short",
            ("{{reason}}", f"sum by (reason) (increase(citynerve_processor_restarts_total{RATE}))"),
            ("fenced", f"sum(increase(citynerve_processor_fenced_total{RATE}))"),
            ("offset gaps", f"sum(increase(citynerve_processor_offset_gaps_total{RATE}))"),
            ("gaps of the last day, {{reason}}", "max by (reason) (citynerve_control_recent_offset_gaps)"),
            ("unread past half of the retention, {{topic}}", "max by (topic) (citynerve_control_overdue_records)"),
            ("records gone from Kafka", f"sum(increase(citynerve_processor_lost_offsets_total{RATE}))"),
            (
                "damaged batches, {{outcome}}",
                f"sum by (outcome) (increase(citynerve_processor_damaged_batches_total{RATE}))",
            ),
        ),
        lines(
            "Duplicates found by merging",
            "Batches that COPY refused because a reading was already there.",
            "cps",
            ("merges", f"sum(rate(citynerve_processor_merge_fallbacks_total{RATE}))"),
        ),
    ]


def _control() -> list[Panel]:
    return [
        lines(
            "Open alarms",
            "By severity.",
            "short",
            ("{{severity}}", "max by (severity) (citynerve_control_active_alarms)"),
            stacked=True,
        ),
        lines(
            "Alarm changes and notifications",
            "Changes of alarms; what Alertmanager took of them.",
            "short",
            ("{{event}}", f"sum by (event) (increase(citynerve_control_alarm_changes_total{RATE}))"),
            ("notification: {{outcome}}", f"sum by (outcome) (increase(citynerve_control_notifications_total{RATE}))"),
        ),
        lines(
            "Starting again",
            "Alarm stages and live tail that began anew; records of the readings topic that are no frames.",
            "short",
            ("alarms", f"sum(increase(citynerve_control_alarm_restarts_total{RATE}))"),
            ("live", f"sum(increase(citynerve_control_live_restarts_total{RATE}))"),
            ("bad frames", f"sum(increase(citynerve_control_live_bad_frames_total{RATE}))"),
        ),
        lines(
            "Silent devices",
            "Devices without a reading for longer than they should.",
            "short",
            ("silent", "max(citynerve_control_stale_devices)"),
        ),
        lines(
            "HTTP requests",
            "By status.",
            "reqps",
            ("{{status}}", f"sum by (status) (rate(citynerve_control_http_requests_total{RATE}))"),
            stacked=True,
        ),
        lines(
            "HTTP time, p95",
            "By route.",
            "s",
            (
                "{{route}}",
                f"histogram_quantile(0.95, sum by (le, route) (rate(citynerve_control_http_seconds_bucket{RATE})))",
            ),
        ),
        lines(
            "Live pages",
            "Browsers that listen, and those that were let go because they could not keep up.",
            "short",
            ("listening", "sum(citynerve_control_sse_clients)"),
            ("let go: {{reason}}", f"sum by (reason) (increase(citynerve_control_sse_dropped_total{RATE}))"),
        ),
    ]


def _database() -> list[Panel]:
    size = Look("Database size", "Tables and indexes.", "bytes", 6, 8, steps=Steps(GREEN))
    sessions = Look("Sessions", "By application; a long transaction holds back cleaning up.", width=18)
    long_transaction: list[tuple[str, object]] = [
        ("unit", "s"),
        ("thresholds", {"mode": "absolute", "steps": [{"value": None, "color": GREEN}, {"value": 60, "color": AMBER}]}),
    ]
    return [
        number(size, [sql(DATABASE_SIZE)], POSTGRES),
        rows(sessions, sql(SESSIONS), {"longest_transaction_s": long_transaction}, POSTGRES),
    ]
