import type { Connection } from "../api/stream.ts";
import type { Alarm, City, Device, Flow, Ledger, LiveItem, Series, Severity, Status } from "../api/shapes.ts";
import { type Entry, headOf, inGroups } from "./alarm_groups.ts";
import { type Backlog, BacklogDetector, freshness, type Freshness } from "./freshness.ts";
import { ServerClock } from "./server_clock.ts";

/** What changed; views listen to the parts they show. */
export type Part = "city" | "devices" | "latest" | "alarms" | "status" | "flow" | "ledger" | "connection" | "selection" | "tick";

export interface Latest {
  readonly value: number;
  readonly timeMs: number;
}

export interface Selection {
  readonly device: string;
  readonly metric: string | null;
}

const DEFAULT_INTERVAL_S = 300;
const MOST_ALARMS = 1000;
const KEPT_CLEARED = 300;
const SEVERITIES: readonly Severity[] = ["critical", "warning", "info"];

/** Everything the page knows about the city. Views read it and are told what changed; only main.ts and the stream write it. */
export class CityState {
  city: City | null = null;
  devices = new Map<string, Device>();
  seriesOf = new Map<string, Series[]>();
  latest = new Map<string, Map<string, Latest>>();
  alarms = new Map<number, Alarm>();
  /** False until the list has come once: no alarms and none known are not the same. */
  alarmsKnown = false;
  status: Status | null = null;
  ledger: Ledger | null = null;
  /** Who waits for whom. */
  flow: Flow | null = null;
  connection: Connection = "connecting";
  selection: Selection | null = null;
  /** The running catch-up; null while the city is live. */
  backlog: Backlog | null = null;
  readonly clock = new ServerClock();

  private readonly backlogDetector = new BacklogDetector();
  private readonly listeners = new Map<Part, Set<() => void>>();

  on(parts: readonly Part[], listener: () => void): void {
    for (const part of parts) {
      const known = this.listeners.get(part) ?? new Set();
      this.listeners.set(part, known.add(listener));
    }
  }

  changed(part: Part): void {
    for (const listener of this.listeners.get(part) ?? []) listener();
  }

  takeDevices(devices: readonly Device[], series: readonly Series[]): void {
    this.devices = new Map(devices.map((device) => [device.device, device]));
    this.seriesOf = new Map();
    for (const one of series) {
      const known = this.seriesOf.get(one.device);
      if (known === undefined) this.seriesOf.set(one.device, [one]);
      else known.push(one);
    }
    this.changed("devices");
  }

  /** Keeps the newest value of each series; returns whether a device or series appeared that is not in the catalogue yet. */
  takeLive(items: readonly LiveItem[]): boolean {
    let unknown = false;
    for (const item of items) {
      const timeMs = Date.parse(item.time);
      const metrics = this.latest.get(item.device) ?? new Map<string, Latest>();
      this.latest.set(item.device, metrics);
      const known = metrics.get(item.metric);
      if (known === undefined || timeMs >= known.timeMs) metrics.set(item.metric, { value: item.value, timeMs });
      unknown ||= known === undefined && this.series(item.device, item.metric) === undefined;
    }
    this.changed("latest");
    return unknown;
  }

  takeAlarms(alarms: readonly Alarm[]): void {
    this.alarms = new Map(alarms.map((alarm) => [alarm.alarm_id, alarm]));
    this.alarmsKnown = true;
    this.changed("alarms");
  }

  takeAlarm(alarm: Alarm): void {
    this.alarms.set(alarm.alarm_id, alarm);
    if (this.alarms.size > MOST_ALARMS) this.forgetCleared();
    this.changed("alarms");
  }

  /** A page stays open for months: of what is over only the newest are kept. Open alarms are never forgotten. */
  private forgetCleared(): void {
    const cleared = [...this.alarms.values()].filter((alarm) => alarm.state === "cleared");
    cleared.sort((a, b) => b.alarm_id - a.alarm_id);
    for (const alarm of cleared.slice(KEPT_CLEARED)) this.alarms.delete(alarm.alarm_id);
  }

  takeStatus(status: Status): void {
    this.status = status;
    const watermarkMs = status.watermark === null ? Number.NaN : Date.parse(status.watermark);
    this.backlog = Number.isFinite(watermarkMs) ? this.backlogDetector.observe(watermarkMs, this.clock.nowMs()) : null;
    this.changed("status");
  }

  series(device: string, metric: string): Series | undefined {
    return this.seriesOf.get(device)?.find((one) => one.metric === metric);
  }

  select(device: string, metric: string | null = null): void {
    const first = this.seriesOf.get(device)?.[0]?.metric ?? this.latest.get(device)?.keys().next().value ?? null;
    this.selection = { device, metric: metric ?? first };
    this.changed("selection");
  }

  unselect(): void {
    this.selection = null;
    this.changed("selection");
  }

  /** Expected seconds between readings of one series: the device's own promise, else the metric's. */
  intervalS(device: string, metric: string): number {
    return this.devices.get(device)?.expected_interval_s ?? this.series(device, metric)?.interval_s ?? DEFAULT_INTERVAL_S;
  }

  seriesFreshness(device: string, metric: string): Freshness {
    const timeMs = this.latest.get(device)?.get(metric)?.timeMs ?? null;
    return freshness(timeMs, this.intervalS(device, metric), this.clock.nowMs(), this.backlog);
  }

  /** A device is as fresh as its newest value, by the interval of its fastest series: an hourly battery must not hide a silent gauge. */
  deviceFreshness(device: string): Freshness {
    let [newestMs, intervalS]: [number | null, number] = [null, Number.POSITIVE_INFINITY];
    for (const [metric, { timeMs }] of this.latest.get(device) ?? []) {
      newestMs = Math.max(newestMs ?? timeMs, timeMs);
      intervalS = Math.min(intervalS, this.intervalS(device, metric));
    }
    return freshness(newestMs, intervalS, this.clock.nowMs(), this.backlog);
  }

  /** Devices that should have sent and did not, those that never did included; null while the devices are not known. */
  silentDevices(): number | null {
    if (this.devices.size === 0 && (this.status?.devices ?? 0) > 0) return null;
    return [...this.devices.keys()].filter((device) => ["stale", "never"].includes(this.deviceFreshness(device))).length;
  }

  openAlarms(): Alarm[] {
    return [...this.alarms.values()].filter((alarm) => alarm.state !== "cleared");
  }

  /** The open alarms as the list shows them: the silent devices of one gateway count once. */
  openEntries(): Entry[] {
    return inGroups(this.openAlarms(), this.flow);
  }

  /** What nobody takes care of yet; a group counts once. */
  raisedEntries(): number {
    return this.openEntries().filter((entry) => headOf(entry).state === "raised").length;
  }

  /** The worst open alarm of each device; an unacknowledged one before an acknowledged one of the same severity. */
  worstAlarms(): Map<string, Alarm> {
    const worst = new Map<string, Alarm>();
    for (const alarm of this.openAlarms()) {
      const known = worst.get(alarm.device);
      if (known === undefined || rank(alarm) < rank(known)) worst.set(alarm.device, alarm);
    }
    return worst;
  }

  displayName(device: string): string {
    return this.devices.get(device)?.name || device;
  }
}

function rank(alarm: Alarm): number {
  return SEVERITIES.indexOf(alarm.severity) * 2 + (alarm.state === "acknowledged" ? 1 : 0);
}
