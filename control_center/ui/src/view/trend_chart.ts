import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatValue } from "../text/numbers.ts";
import { cityZone, dayMonth, hourMinute } from "../text/times.ts";
import type { TrendColumns } from "./trend_points.ts";

export interface TrendView {
  readonly columns: TrendColumns;
  readonly fromS: number;
  readonly toS: number;
  readonly band: boolean;
  /** A line between two directions would sweep through angles that never were. */
  readonly pointsOnly: boolean;
  readonly limit: number | null;
}

const LINE = "#5fd0c0";
const BAND = "rgba(95, 208, 192, 0.20)";
const GRID = "rgba(150, 175, 200, 0.11)";
const AXIS = "#93a5b7";
const LIMIT = "#ff8a80";
const FONT = '12px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif';
const HEADROOM = 0.08;

/** One uPlot of a mean line inside its min-max band. */
export class TrendChart {
  private plot: uPlot | null = null;
  private view: TrendView | null = null;
  private readonly host: HTMLElement;
  private readonly onCursor: (index: number | null) => void;

  constructor(host: HTMLElement, onCursor: (index: number | null) => void) {
    this.host = host;
    this.onCursor = onCursor;
    new ResizeObserver(() => this.resize()).observe(host);
  }

  show(view: TrendView): void {
    const anew = this.plot === null || view.pointsOnly !== this.view?.pointsOnly || view.band !== this.view.band;
    this.view = view;
    const { x, line, low, high } = view.columns;
    const data: uPlot.AlignedData = [x, line, high, low];
    if (anew) {
      this.plot?.destroy();
      this.plot = new uPlot(this.options(view), data, this.host);
      return;
    }
    this.plot?.setData(data);
  }

  /** Draws the axes anew, in the language chosen now. */
  redraw(): void {
    this.plot?.redraw(true, true);
  }

  clear(): void {
    this.plot?.destroy();
    this.plot = null;
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width > 0 && height > 0) this.plot?.setSize({ width, height });
  }

  private options(view: TrendView): uPlot.Options {
    const stroke = view.band ? BAND : "transparent";
    return {
      width: Math.max(this.host.clientWidth, 50),
      height: Math.max(this.host.clientHeight, 50),
      padding: [10, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8, fill: LINE } },
      tzDate: (timeS) => uPlot.tzDate(new Date(timeS * 1000), cityZone() ?? "UTC"),
      scales: {
        x: { time: true, range: () => [this.view?.fromS ?? 0, this.view?.toS ?? 1] },
        y: { range: (_, low, high) => this.valueRange(low, high) },
      },
      axes: [
        { stroke: AXIS, font: FONT, grid: { stroke: GRID }, ticks: { show: false }, space: 64, size: 30, values: (_, splits) => this.times(splits) },
        { stroke: AXIS, font: FONT, grid: { stroke: GRID }, ticks: { show: false }, size: 58, values: (_, splits) => splits.map(formatValue) },
      ],
      series: [
        {},
        {
          stroke: LINE,
          width: 2,
          spanGaps: false,
          points: view.pointsOnly ? { show: true, size: 4, fill: LINE } : {},
          ...(view.pointsOnly ? { paths: () => null } : {}),
        },
        { stroke, width: 1, points: { show: false }, spanGaps: false },
        { stroke, width: 1, points: { show: false }, spanGaps: false },
      ],
      bands: view.band ? [{ series: [2, 3], fill: BAND }] : [],
      hooks: {
        draw: [(plot) => this.drawLimit(plot)],
        setCursor: [(plot) => this.onCursor(plot.cursor.idx ?? null)],
      },
    };
  }

  /** Room above and below, and the limit in sight where it is near the data. */
  private valueRange(low: number | null, high: number | null): [number, number] {
    let [bottom, top] = [low ?? 0, high ?? 1];
    const limit = this.view?.limit ?? null;
    const span = Math.max(top - bottom, Math.abs(top) * 0.02, 1e-9);
    if (limit !== null && limit > bottom - 3 * span && limit < top + 3 * span) {
      bottom = Math.min(bottom, limit);
      top = Math.max(top, limit);
    }
    const room = Math.max((top - bottom) * HEADROOM, span * HEADROOM);
    return [bottom >= 0 && bottom - room < 0 ? 0 : bottom - room, top + room];
  }

  private times(splits: readonly number[]): string[] {
    return splits.map((timeS) => {
      const clock = hourMinute(timeS * 1000);
      return clock === "00:00" ? dayMonth(timeS * 1000) : clock;
    });
  }

  private drawLimit(plot: uPlot): void {
    const limit = this.view?.limit ?? null;
    if (limit === null) return;
    const y = Math.round(plot.valToPos(limit, "y", true));
    const { left, top, width, height } = plot.bbox;
    if (y < top || y > top + height) return;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = LIMIT;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.restore();
  }
}
