/** Turns readings and window rows into the columns of a chart. Pure. */

import type { Reading, WindowRow, WindowSize } from "../api/shapes.ts";

export type Range = "1h" | "6h" | "24h" | "7d";
export type Resolution = "raw" | WindowSize;
type Cell = number | null;

/** x in epoch seconds; line, low and high in the metric's unit; null where there is a gap. */
export interface TrendColumns {
  readonly x: number[];
  readonly line: Cell[];
  readonly low: Cell[];
  readonly high: Cell[];
}

export const RANGE_S: Readonly<Record<Range, number>> = { "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800 };
export const WINDOW_S: Readonly<Record<WindowSize, number>> = { "1m": 60, "15m": 900, "1h": 3600 };
export const AUTOMATIC: Readonly<Record<Range, Resolution>> = { "1h": "raw", "6h": "1m", "24h": "15m", "7d": "1h" };

const ENERGETIC_OR_CIRCULAR = new Set([1, 2]);
const COUNTER = 3;
const GAP_STEPS = 2.5;

export interface Point {
  readonly timeS: number;
  readonly line: number;
  readonly low: number;
  readonly high: number;
}

export function fromReadings(readings: readonly Reading[]): Point[] {
  return readings.map(({ time, value }) => ({ timeS: Date.parse(time) / 1000, line: value, low: value, high: value }));
}

/**
 * The line of a window is the mean that the metric's kind allows: Leq for sound, the circular mean for directions (no band: low and
 * high of an angle mean nothing), the increase for counters (no band either).
 */
export function fromWindows(rows: readonly WindowRow[], meanKind: number): Point[] {
  return rows.map((row) => {
    const special = row.special ?? row.mean;
    const timeS = Date.parse(row.time) / 1000;
    if (meanKind === COUNTER || meanKind === 1) return { timeS, line: special, low: special, high: special };
    return { timeS, line: ENERGETIC_OR_CIRCULAR.has(meanKind) ? special : row.mean, low: row.min, high: row.max };
  });
}

/** Merges by time; a later answer replaces an earlier one (a window that late data revised). Points before `fromS` fall out. */
export function mergePoints(known: readonly Point[], fresh: readonly Point[], fromS: number): Point[] {
  const byTime = new Map(known.map((point) => [point.timeS, point]));
  for (const point of fresh) byTime.set(point.timeS, point);
  return [...byTime.values()].filter((point) => point.timeS >= fromS).sort((a, b) => a.timeS - b.timeS);
}

/** Columns with a null row in each gap longer than two and a half steps, so that no line is drawn over missing data. */
export function toColumns(points: readonly Point[], stepS: number): TrendColumns {
  const columns: TrendColumns = { x: [], line: [], low: [], high: [] };
  let before: number | null = null;
  for (const point of points) {
    if (before !== null && point.timeS - before > GAP_STEPS * stepS) push(columns, before + stepS, null, null, null);
    push(columns, point.timeS, point.line, point.low, point.high);
    before = point.timeS;
  }
  return columns;
}

function push(columns: TrendColumns, x: number, line: Cell, low: Cell, high: Cell): void {
  columns.x.push(x);
  columns.line.push(line);
  columns.low.push(low);
  columns.high.push(high);
}
