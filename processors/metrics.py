"""Every metric of the processors. Label values are created at 0, so that a first failure is visible to `rate()`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.contract.waiting import Waiting
from processors.batch import Batch
from processors.checkpoint import Committed
from processors.columns import BrokenRecord
from processors.cursors import GapReason

OUTCOMES = ("stored", "duplicate", "dead_letter", "refused")
BAD_FRAME_REASONS = ("no_header", "bad_body", "bad_statement", "contradictory_count")
RESTART_REASONS = ("fenced", "kafka", "database", "stuck", "internal")
AUDIT_OUTCOMES = ("equal", "differs", "failed")
FLEET_OUTCOMES = ("summed", "failed")
DAMAGED_BATCHES = ("left_out", "read_from_replica")
WAITS_FOR = ("database", "kafka")
WINDOW_SIZES = ("1m", "15m", "1h", "1d")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ProcessorMetrics:
    """The metrics, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry, name: str = "") -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"citynerve_processor_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"citynerve_processor_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"citynerve_processor_{name}", text, buckets=buckets, registry=registry)

        self.frames = counter("frames_total", "Kafka records committed.", "topic")
        self.readings = counter("readings_total", "Readings committed, by what became of them.", "outcome")
        self.redelivered = counter("redelivered_readings_total", "Readings of frames that had been seen before.")
        self.bad_frames = counter(
            "bad_frames_total", "Records that are no frame of ours, or contradict the gateway's count.", "reason"
        )
        self.late = counter("late_readings_total", "Readings stored after their 1-minute window had closed.")
        self.windows = counter("windows_written_total", "Window rows written.", "size", "kind")
        self.merge_fallbacks = counter(
            "merge_fallbacks_total", "Batches whose COPY met a stored reading and was merged instead."
        )
        self.restarts = counter("restarts_total", "Sessions that ended by an error and began again.", "reason")
        self.fenced = counter("fenced_total", "Batches given up because another process owns a partition.")
        self.offset_gaps = counter("offset_gaps_total", "Times that Kafka no longer had the next offset.", "reason")
        self.lost_offsets = counter(
            "lost_offsets_total", "Records that Kafka no longer had when the cursor came to them."
        )
        self.damaged_batches = counter(
            "damaged_batches_total",
            "Batches damaged on the disk of Kafka's leader, by whether another replica had them whole.",
            "outcome",
        )
        self.condition_changes = counter("condition_changes_total", "Conditions raised or cleared.")
        self.audits = counter("audits_total", "Days whose stored rows were held against the ledger.", "outcome")
        self.fleet_rounds = counter(
            "fleet_rounds_total", "Rounds in which sums of the fleet were made anew.", "outcome"
        )
        self.fleet_quarters = counter("fleet_quarters_total", "Quarters of an hour whose sums were made anew.")
        self.fleet_waiting = gauge(
            "fleet_waiting_quarters", "Quarters of an hour whose sums are older than their windows."
        )
        self.lag_seconds = gauge(
            "lag_seconds", "Age of the oldest record not yet committed; 0 when caught up.", "topic", "partition"
        )
        self.lag_records = gauge("lag_records", "Records not yet committed.", "topic", "partition")
        self.watermark_age = gauge("watermark_age_seconds", "Clock minus watermark.", "partition")
        self.owned = gauge("owned_partitions", "Partitions claimed by this process.")
        self.series = gauge("known_series", "Series held in memory.")
        self.open_readings = gauge("open_readings", "Readings held for open windows.")
        self.end_to_end = histogram(
            "end_to_end_seconds", "From the gateway's receipt to the commit, once a frame.", _SECONDS
        )
        self.commit_seconds = histogram("commit_seconds", "One batch's transaction.", _SECONDS)
        self.batch_readings = histogram(
            "batch_readings", "Readings in a batch.", (1, 10, 100, 1_000, 10_000, 50_000, 100_000, 500_000)
        )
        self.waiting = Waiting(registry, "processor", name, WAITS_FOR)
        self._create_labels()

    def _create_labels(self) -> None:
        for outcome in OUTCOMES:
            self.readings.labels(outcome)
        for reason in BAD_FRAME_REASONS:
            self.bad_frames.labels(reason)
        for reason in RESTART_REASONS:
            self.restarts.labels(reason)
        for outcome in AUDIT_OUTCOMES:
            self.audits.labels(outcome)
        for outcome in FLEET_OUTCOMES:
            self.fleet_rounds.labels(outcome)
        for gap_reason in GapReason:
            self.offset_gaps.labels(gap_reason.value)
        for outcome in DAMAGED_BATCHES:
            self.damaged_batches.labels(outcome)
        for size in WINDOW_SIZES:
            for kind in ("closed", "revised"):
                self.windows.labels(size, kind)

    def forget_partitions(self) -> None:
        """Partitions were given out anew: what is shown of those that went elsewhere would stand still for ever."""
        for gauge in (self.lag_seconds, self.lag_records, self.watermark_age):
            gauge.clear()

    def observe_commit(self, done: Committed, *, seconds: float, now_us: int) -> None:
        """Count one committed transaction."""
        self.commit_seconds.observe(seconds)
        self.late.inc(done.late)
        self.merge_fallbacks.inc(done.fell_back)
        self.observe_gap(done, GapReason.RETENTION)
        self.condition_changes.inc(done.changes)
        for (table, kind), rows in done.windows.items():
            self.windows.labels(table.removeprefix("windows_"), kind).inc(rows)
        if done.batch is not None:
            self._observe_batch(done.batch, now_us)

    def observe_gap(self, done: Committed, reason: GapReason) -> None:
        """Count offsets that were left out."""
        self.offset_gaps.labels(reason.value).inc(done.offset_gaps)
        self.lost_offsets.inc(done.lost_offsets)

    def _observe_batch(self, batch: Batch, now_us: int) -> None:
        for (topic, _), span in batch.frames.spans.items():
            self.frames.labels(topic).inc(span.records)
        for counts in batch.counts.values():
            self.readings.labels("stored").inc(counts.stored)
            self.readings.labels("duplicate").inc(counts.duplicate)
            self.readings.labels("dead_letter").inc(counts.dead)
            self.redelivered.inc(counts.redelivered)
        self.bad_frames.labels("contradictory_count").inc(batch.contradictions)
        for broken in batch.frames.broken:
            self.bad_frames.labels(bad_frame_reason(broken)).inc()
        self.batch_readings.observe(sum(frame.header.count for frame in batch.frames.readings))
        for _, frame in batch.fresh:
            self.end_to_end.observe(max(0.0, (now_us - frame.header.received_us) / 1e6))


def bad_frame_reason(broken: BrokenRecord) -> str:
    """Which of `BAD_FRAME_REASONS` a broken record has."""
    if ".custody." in broken.partition[0]:
        return "bad_statement"
    return "no_header" if broken.header is None else "bad_body"
