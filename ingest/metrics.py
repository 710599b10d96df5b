"""Every metric of the gateway, on a registry of the caller's. All label values exist from the start, at 0."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.contract.rejects import RejectReason
from ingest.contract.waiting import Waiting

CONNECT_OUTCOMES = ("new_session", "resumed", "session_lost", "refused", "unreachable", "lost", "watchdog")
RENEWAL_REASONS = ("refused", "deadline", "error", "custody")
REFUSED_REASONS = ("frame_too_large",)
WAITS_FOR = ("broker", "kafka")


class IngestMetrics:
    """The gateway's counters and gauges."""

    def __init__(self, registry: CollectorRegistry, topics: tuple[str, ...] = (), gateway: str = "") -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"citynerve_ingest_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"citynerve_ingest_{name}", text, registry=registry)

        self.messages = counter("messages", "MQTT messages received")
        self.readings = counter("readings", "readings admitted")
        self.ignored = counter("messages_without_readings", "valid MQTT messages that hold nothing to store")
        self.rejects = counter("rejects", "readings (or undecodable payloads) that became dead letters", "reason")
        self.refused = counter("refused", "readings refused without a dead letter", "reason")
        self.redelivered = counter("duplicates_redelivered", "messages the broker marked as delivered before")
        self.frames = counter("frames", "frames acknowledged by Kafka", "topic")
        self.reading_paused = counter(
            "reading_paused", "times the socket was left unread because too much was unacknowledged"
        )
        self.spool_damaged = counter(
            "spool_damaged", "records of the spool damaged beyond mending: their frames are lost, their bytes set aside"
        )
        self.spool_mended = counter("spool_mended", "records of the spool with a flipped bit, mended as they were read")
        self.spooled_frames = counter("spooled_frames", "frames written to the spool")
        self.mqtt_connects = counter("mqtt_connects", "connections to the MQTT broker by how they went", "outcome")
        self.producer_renewals = counter(
            "producer_renewals", "new Kafka producers, by what ended the one before", "reason"
        )
        self.oversize_frames = counter(
            "oversize_frames", "frames too large for Kafka for too long: dead letters, their bytes set aside on disk"
        )
        self.custody_failures = counter(
            "custody_failures", "custody statements Kafka did not take (the next one says the same)"
        )
        self.catalogue_resets = counter(
            "catalogue_resets", "times the tables of devices and names were full and started again"
        )
        self.frame_readings = Histogram(
            "citynerve_ingest_frame_readings",
            "readings in a frame",
            registry=registry,
            buckets=(1, 4, 16, 64, 256, 1024, 4096, 16384),
        )
        self.receive_to_kafka = Histogram(
            "citynerve_ingest_receive_to_kafka_seconds",
            "from receipt of a frame's first reading to Kafka's acknowledgement",
            registry=registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600),
        )
        self.unacked_messages = gauge("unacked_messages", "MQTT messages received and not yet acknowledged")
        self.channels = gauge("channels", "devices and (name, unit) pairs remembered")
        self.spool_bytes = gauge("spool_bytes", "bytes in the spool")
        self.spool_frames = gauge("spool_frames", "frames in the spool")
        self.spool_max_bytes = gauge("spool_max_bytes", "bytes the spool may hold")
        self.spool_hours_left = gauge(
            "spool_hours_left", "hours of Kafka outage the spool still holds at today's rate; NaN while no data arrives"
        )
        self.spool_full = gauge("spool_full", "1 while the spool takes nothing more and MQTT is not acknowledged")
        self.mqtt_connected = gauge("mqtt_connected", "1 while the MQTT session stands")
        self.kafka_up = gauge("kafka_up", "1 while frames go straight to Kafka")
        self.clock_off = gauge(
            "clock_off_seconds", "how far this machine's clock is ahead of the time that is believed"
        )
        self.kafka_clock_off = gauge(
            "kafka_clock_off_seconds", "how far Kafka's clock is ahead of the time that is believed"
        )
        self.clock_steps = counter("clock_steps", "steps of this machine's clock of more than half a minute")
        self.last_message = gauge(
            "last_message_timestamp_seconds", "when the last MQTT message came, seconds since 1970"
        )
        self.waiting = Waiting(registry, "ingest", gateway, WAITS_FOR)
        self.mqtt_is(up=False)
        self.kafka_is(up=False, waits=True)
        for reason in RejectReason:
            self.rejects.labels(reason.value)
        for outcome in CONNECT_OUTCOMES:
            self.mqtt_connects.labels(outcome)
        for renewal in RENEWAL_REASONS:
            self.producer_renewals.labels(renewal)
        for refusal in REFUSED_REASONS:
            self.refused.labels(refusal)
        for topic in topics:
            self.frames.labels(topic)

    def mqtt_is(self, *, up: bool) -> None:
        """The session with the broker stands, or not."""
        self.mqtt_connected.set(up)
        self.waiting.set("broker", waits=not up)

    def kafka_is(self, *, up: bool, waits: bool) -> None:
        """Frames go straight to Kafka, or not; `waits`: because Kafka does not answer."""
        self.kafka_up.set(up)
        self.waiting.set("kafka", waits=waits)
