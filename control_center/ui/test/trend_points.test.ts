import assert from "node:assert/strict";
import { test } from "node:test";
import type { WindowRow } from "../src/api/shapes.ts";
import { fromReadings, fromWindows, mergePoints, toColumns } from "../src/view/trend_points.ts";

const row = (time: string, more: Partial<WindowRow> = {}): WindowRow => ({
  time, count: 5, mean: 10, min: 8, max: 13, special: null, expected: 5, valid: 5, ...more,
});
const at = (timeS: number, line = 1) => ({ timeS, line, low: line, high: line });

test("a hole longer than two and a half steps becomes a null, so that no line crosses it", () => {
  const columns = toColumns([at(0), at(60), at(300), at(360)], 60);
  assert.deepEqual(columns.x, [0, 60, 120, 300, 360]);
  assert.deepEqual(columns.line, [1, 1, null, 1, 1]);
  assert.deepEqual(columns.low, [1, 1, null, 1, 1]);
});

test("one missing reading is jitter, not a hole", () => {
  assert.deepEqual(toColumns([at(0), at(120)], 60).line, [1, 1]);
});

test("a window that came again replaces the one before, and old points fall out", () => {
  const merged = mergePoints([at(0), at(60), at(120)], [at(120, 9), at(180)], 60);
  assert.deepEqual(merged.map(({ timeS, line }) => [timeS, line]), [[60, 1], [120, 9], [180, 1]]);
});

test("the line is the mean within its band for ordinary metrics", () => {
  assert.deepEqual(fromWindows([row("2026-05-01T12:00:00Z")], 0), [{ timeS: 1777636800, line: 10, low: 8, high: 13 }]);
});

test("sound is drawn as its Leq, directions as their circular mean without a band, meters as their increase", () => {
  const rows = [row("2026-05-01T12:00:00Z", { special: 12 })];
  assert.deepEqual(fromWindows(rows, 2)[0], { timeS: 1777636800, line: 12, low: 8, high: 13 });
  assert.deepEqual(fromWindows(rows, 1)[0], { timeS: 1777636800, line: 12, low: 12, high: 12 });
  assert.deepEqual(fromWindows(rows, 3)[0], { timeS: 1777636800, line: 12, low: 12, high: 12 });
});

test("readings keep their own times", () => {
  assert.equal(fromReadings([{ time: "2026-05-01T12:00:00.250Z", value: 3, flags: 0 }])[0]?.timeS, 1777636800.25);
});
