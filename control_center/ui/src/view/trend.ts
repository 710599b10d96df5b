import { fetchReadings, fetchWindows } from "../api/client.ts";
import type { CityState, Selection } from "../state/city_state.ts";
import { named, onLanguage, t, translate } from "../text/catalogue.ts";
import { formatValue, formatWithUnit } from "../text/numbers.ts";
import { exactMoment, moment } from "../text/times.ts";
import { unitSymbol } from "../text/units.ts";
import { thresholdOf } from "./alarm_card.ts";
import { element } from "./element.ts";
import { Segments } from "./segments.ts";
import { TrendChart } from "./trend_chart.ts";
import {
  AUTOMATIC, fromReadings, fromWindows, mergePoints, RANGE_S, toColumns, WINDOW_S,
  type Point, type Range, type Resolution, type TrendColumns,
} from "./trend_points.ts";
import { report, solved } from "./trouble.ts";

const TAIL_EVERY_TICKS = 10;
const BACKLOG_TAIL_EVERY_TICKS = 2;
const TAIL_STEPS = 4;
const AHEAD_MS = 60_000;
const COUNTER = 3;
const CIRCULAR = 1;
const RANGES: readonly Range[] = ["1h", "6h", "24h", "7d"];
const RESOLUTIONS: readonly Resolution[] = ["raw", "1m", "15m", "1h"];

/** The trend of the chosen series: fetched once per choice, then its tail again and again; raw readings also live. */
export class Trend {
  readonly node: HTMLElement;
  private readonly state: CityState;
  private readonly title = element("h3", { class: "trend-title" });
  private readonly readout = element("p", { class: "trend-readout" });
  private readonly host = element("div", { class: "trend-chart", attributes: { role: "img" } });
  private readonly empty = element("p", { class: "trend-empty" });
  private readonly resolutions: Segments<Resolution>;
  private readonly chart: TrendChart;
  private range: Range = "6h";
  private resolution: Resolution = AUTOMATIC["6h"];
  private chosen: Selection | null = null;
  private points: Point[] = [];
  private columns: TrendColumns = toColumns([], 1);
  private request = 0;
  private loading = false;
  private ticks = 0;

  constructor(state: CityState) {
    this.state = state;
    const ranges = new Segments(RANGES.map((value) => ({ value, label: `trend.range.${value}` as const })), this.range, (range) => {
      this.range = range;
      this.resolution = AUTOMATIC[range];
      this.resolutions.show(this.resolution);
      void this.load();
    });
    this.resolutions = new Segments(
      RESOLUTIONS.map((value) => ({ value, label: `trend.resolution.${value}` as const })), this.resolution,
      (resolution) => {
        this.resolution = resolution;
        void this.load();
      },
    );
    this.chart = new TrendChart(this.host, (index) => this.showReadout(index));
    this.node = element("div", { class: "trend" }, [
      element("div", { class: "trend-head" }, [
        this.title,
        element("div", { class: "segments", data: { tLabel: "trend.range" }, attributes: { role: "group" } }, [...ranges.buttons]),
        element("div", { class: "segments", data: { tLabel: "trend.resolution" }, attributes: { role: "group" } }, [
          ...this.resolutions.buttons,
        ]),
      ]),
      this.readout,
      element("div", { class: "trend-stage" }, [this.host, this.empty]),
    ]);
    translate(this.node);
    state.on(["tick"], () => void this.tick());
    state.on(["latest"], () => this.appendLive());
    state.on(["alarms"], () => this.show());
    onLanguage(() => {
      this.show();
      this.chart.redraw();
    });
  }

  choose(selection: Selection): void {
    const same = this.chosen?.device === selection.device && this.chosen.metric === selection.metric;
    this.chosen = selection;
    if (!same) void this.load();
  }

  /** The right edge: now, or the moment that a running catch-up has reached. */
  private endS(): number {
    return (this.state.backlog?.toMs ?? this.state.clock.nowMs()) / 1000;
  }

  private startS(): number {
    return this.endS() - RANGE_S[this.range];
  }

  private stepS(): number {
    if (this.resolution !== "raw") return WINDOW_S[this.resolution];
    const { device, metric } = this.chosen ?? { device: "", metric: null };
    return this.state.intervalS(device, metric ?? "");
  }

  private fetchSince(device: string, metric: string, from: Date, to: Date): Promise<Point[]> {
    if (this.resolution === "raw") return fetchReadings(device, metric, from, to).then(fromReadings);
    const meanKind = this.meanKind();
    return fetchWindows(device, metric, this.resolution, from, to).then((rows) => fromWindows(rows, meanKind));
  }

  private async load(): Promise<void> {
    this.points = [];
    this.loading = true;
    this.show();
    await this.fetchFrom(this.startS() * 1000);
  }

  /** Fetches from `fromMs` to now; an answer that comes after another choice was made is dropped. */
  private async fetchFrom(fromMs: number): Promise<void> {
    const metric = this.chosen?.metric ?? null;
    if (this.chosen === null || metric === null) return;
    this.request += 1;
    const mine = this.request;
    try {
      const to = new Date(this.state.clock.nowMs() + AHEAD_MS);
      const fresh = await this.fetchSince(this.chosen.device, metric, new Date(fromMs), to);
      if (mine !== this.request) return;
      this.loading = false;
      this.points = mergePoints(this.points, fresh, this.startS());
      solved("trend");
      this.show();
    } catch (cause) {
      if (mine !== this.request) return;
      this.loading = false;
      report("trend", cause);
      this.show();
    }
  }

  /** The newest windows may still be revised by late data, so the last few are asked for again. */
  private async tick(): Promise<void> {
    this.ticks += 1;
    const every = this.state.backlog === null ? TAIL_EVERY_TICKS : BACKLOG_TAIL_EVERY_TICKS;
    if (this.ticks % every !== 0 || this.loading || this.chosen?.metric == null) return;
    const last = this.points.at(-1)?.timeS ?? this.startS();
    await this.fetchFrom((last - TAIL_STEPS * this.stepS()) * 1000);
  }

  private appendLive(): void {
    if (this.resolution !== "raw" || this.loading || this.chosen?.metric == null) return;
    const latest = this.state.latest.get(this.chosen.device)?.get(this.chosen.metric);
    const timeS = (latest?.timeMs ?? 0) / 1000;
    if (latest === undefined || timeS <= (this.points.at(-1)?.timeS ?? 0)) return;
    const point = { timeS, line: latest.value, low: latest.value, high: latest.value };
    this.points = mergePoints(this.points, [point], this.startS());
    this.show();
  }

  private show(): void {
    if (this.chosen === null) return;
    const { device, metric } = this.chosen;
    const series = metric === null ? undefined : this.state.series(device, metric);
    const unit = unitSymbol(series?.unit ?? "");
    this.title.textContent = metric === null ? t("trend.no_series") : named("metric", metric) + (unit === "" ? "" : ` (${unit})`);
    const inRange = this.points.filter((point) => point.timeS >= this.startS());
    this.columns = toColumns(inRange, this.stepS());
    this.chart.show({
      columns: this.columns,
      fromS: this.startS(),
      toS: this.endS(),
      band: this.banded(),
      pointsOnly: this.meanKind() === CIRCULAR,
      limit: this.limit(),
    });
    this.empty.hidden = inRange.length > 0;
    this.empty.textContent = this.loading ? t("trend.loading") : t("trend.empty", { range: t(`trend.range.${this.range}`) });
    this.showReadout(null);
    this.host.ariaLabel = this.summary(inRange, series?.unit ?? null);
  }

  private limit(): number | null {
    const alarm = this.state
      .openAlarms()
      .find((one) => one.device === this.chosen?.device && one.metric === this.chosen.metric);
    return alarm === undefined ? null : thresholdOf(alarm);
  }

  private meanKind(): number {
    return this.chosen?.metric == null ? 0 : (this.state.series(this.chosen.device, this.chosen.metric)?.mean_kind ?? 0);
  }

  /** Lowest and highest say something of a window, but not of single readings, angles or meters. */
  private banded(): boolean {
    return this.resolution !== "raw" && this.meanKind() !== COUNTER && this.meanKind() !== CIRCULAR;
  }

  private lineName(): string {
    if (this.resolution === "raw") return t("trend.line.reading");
    const meanKind = this.meanKind();
    return t((["trend.line.mean", "trend.line.circular", "trend.line.leq", "trend.line.increase"] as const)[meanKind] ?? "trend.line.mean");
  }

  /** The point under the cursor; without one, what the chart shows. */
  private showReadout(index: number | null): void {
    const timeS = index === null ? undefined : this.columns.x[index];
    const value = index === null ? null : (this.columns.line[index] ?? null);
    if (timeS === undefined || value === null || index === null) {
      const key = this.resolution === "raw" ? "trend.caption_raw" : this.banded() ? "trend.caption" : "trend.caption_plain";
      this.readout.textContent = t(key, { line: this.lineName(), size: t(`trend.resolution.${this.resolution}`) });
      return;
    }
    const unit = this.chosen?.metric == null ? null : (this.state.series(this.chosen.device, this.chosen.metric)?.unit ?? null);
    const now = this.state.clock.nowMs();
    const time = this.resolution === "raw" ? exactMoment(timeS * 1000, now) : moment(timeS * 1000, now);
    const [low, high] = [this.columns.low[index] ?? value, this.columns.high[index] ?? value];
    const extent = low === high ? "" : t("trend.extent", { low: formatValue(low), high: formatValue(high) });
    this.readout.textContent = [time, `${this.lineName()} ${formatWithUnit(value, unit)}`, extent].filter(Boolean).join("  ·  ");
  }

  private summary(points: readonly Point[], unit: string | null): string {
    const last = points.at(-1);
    if (last === undefined) return t("trend.empty", { range: t(`trend.range.${this.range}`) });
    return t("trend.summary", {
      title: this.title.textContent ?? "",
      range: t(`trend.range.${this.range}`),
      low: formatWithUnit(Math.min(...points.map((point) => point.low)), unit),
      high: formatWithUnit(Math.max(...points.map((point) => point.high)), unit),
      last: formatWithUnit(last.line, unit),
    });
  }
}
