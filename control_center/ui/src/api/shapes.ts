/** JSON shapes of the control center's HTTP API. Times are RFC 3339 UTC; values are in the metric's canonical unit. */

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next_cursor: string | null;
}

export interface City {
  readonly name: string;
  readonly time_zone: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly languages: readonly string[];
}

export interface Device {
  readonly device: string;
  readonly name: string;
  readonly kind: string;
  readonly district: string;
  readonly latitude: number | null;
  readonly longitude: number | null;
  readonly expected_interval_s: number | null;
  readonly created_at: string;
}

/** `mean_kind`: 0 arithmetic, 1 circular (degrees), 2 energetic (decibels), 3 counter. Decides what `special` of a window is. */
export interface Series {
  readonly series_id: number;
  readonly device: string;
  readonly metric: string;
  readonly unit: string;
  readonly mean_kind: number;
  readonly interval_s: number;
}

export interface Reading {
  readonly time: string;
  readonly value: number;
  readonly flags: number;
}

export interface WindowRow {
  readonly time: string;
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  readonly special: number | null;
  readonly expected: number;
  readonly valid: number;
}

export type WindowSize = "1m" | "15m" | "1h";
export type Severity = "critical" | "warning" | "info";
export type AlarmState = "raised" | "acknowledged" | "cleared";

export interface Alarm {
  readonly alarm_id: number;
  readonly rule_id: string;
  readonly title: string;
  readonly device: string;
  readonly name: string | null;
  readonly metric: string | null;
  readonly unit: string | null;
  readonly severity: Severity;
  readonly state: AlarmState;
  readonly raised_at: string;
  readonly raised_value: number | null;
  readonly detail: Readonly<Record<string, unknown>> | null;
  readonly advice: string | null;
  readonly acknowledged_at: string | null;
  readonly acknowledged_by: string | null;
  readonly cleared_at: string | null;
  readonly cleared_value: number | null;
  readonly latitude: number | null;
  readonly longitude: number | null;
  /** Through which it last sent; null where the control center has not seen that since its start. */
  readonly gateway?: string | null;
}

export interface LedgerTotals {
  readonly received: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly dead_letter: number;
  readonly refused: number;
  readonly in_flight: number;
  readonly unaccounted: number;
  readonly redelivered: number;
}

/** One life (epoch) of one gateway. */
export interface LedgerRow extends LedgerTotals {
  readonly gateway: string;
  readonly epoch: number;
  readonly open: boolean;
  readonly spooled: number;
  readonly messages: number;
  readonly last_seen: string | null;
}

/** Stored rows held against what the processors say they stored; summed over the days audited. */
export interface LedgerAudit {
  readonly days: number;
  readonly expected: number;
  readonly found: number;
  readonly removed: number;
  readonly missing: number;
  readonly doubled: number;
  readonly oldest: string | null;
  readonly newest: string | null;
}

/** Offsets that Kafka no longer had when the processors came to them. Null: how far it went, or how many readings it held, is not known. */
export interface OffsetGap {
  readonly topic: string;
  readonly partition: number;
  readonly from_offset: number;
  readonly to_offset: number | null;
  readonly reason: "retention" | "damaged" | "recreated";
  readonly readings: number | null;
  readonly seen_at: string;
}

export interface Ledger {
  readonly gaps?: readonly OffsetGap[];
  readonly totals: LedgerTotals;
  readonly audit?: LedgerAudit;
  readonly items: readonly LedgerRow[];
}

export interface LiveItem {
  readonly device: string;
  readonly metric: string;
  readonly value: number;
  readonly time: string;
}

export interface LiveSnapshot {
  readonly time: string;
  readonly items: readonly LiveItem[];
}

export interface Status {
  readonly lag_s: number | null;
  readonly watermark: string | null;
  readonly readings_per_s: number | null;
  readonly stored_per_s: number | null;
  readonly rejected_per_s: number | null;
  readonly duplicate_per_s: number | null;
  readonly in_flight: number | null;
  readonly unaccounted: number | null;
  readonly active_alarms: number | null;
  readonly spooled: number | null;
  readonly devices: number | null;
  readonly stale_devices: number | null;
  /** Of which moment everything is that comes from the database. */
  readonly sampled_at?: string | null;
  /** A backlog is being worked off: how far the data lies behind, and until when (null: it does not come closer). */
  readonly behind_s?: number | null;
  readonly left_s?: number | null;
}

export type FlowPart = "devices" | "broker" | "gateway" | "kafka" | "processor" | "database";

/** One stage of the data's way. `text` says it in one sentence, in the language asked for. */
export interface Hop {
  readonly part: FlowPart;
  readonly name: string;
  readonly state: "fine" | "catching_up" | "waiting" | "silent" | "away" | "unknown";
  readonly waits_for: FlowPart | null;
  readonly age_s: number | null;
  readonly lag_s: number | null;
  readonly queue_bytes: number | null;
  readonly queue_limit_bytes: number | null;
  readonly hours_left: number | null;
  readonly text: string;
}

export interface Flow {
  readonly time: string;
  readonly mood: "live" | "catching_up" | "held_up" | "unknown";
  readonly headline: string;
  readonly behind_s: number | null;
  readonly left_s: number | null;
  readonly hops: readonly Hop[];
}

/** A device whose clock is wrong; `offset` and `text` are for people, in the language asked for. */
export interface WrongClock {
  readonly device: string;
  readonly offset: string | null;
  readonly text: string;
  readonly readings: number;
  readonly last_seen: string;
}

/** Dead letters of one reason, and the newest of them. */
export interface DeadLetterReason {
  readonly reason: string;
  readonly letters: number;
  readonly readings: number;
  readonly waiting: number;
  readonly newest_id: number;
  readonly newest_received: string;
  readonly newest_gateway: string;
  readonly newest_topic: string;
  readonly newest_detail: string;
}
