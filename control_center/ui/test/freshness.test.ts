import assert from "node:assert/strict";
import { test } from "node:test";
import { BacklogDetector, freshness } from "../src/state/freshness.ts";

const NOW = 1_000_000_000_000;
const MINUTE = 60_000;

test("a value is fresh until three expected intervals have passed", () => {
  assert.equal(freshness(NOW - 3 * MINUTE, 60, NOW, null), "fresh");
  assert.equal(freshness(NOW - 3 * MINUTE - 1, 60, NOW, null), "stale");
});

test("a value that never came is not stale but absent", () => {
  assert.equal(freshness(null, 60, NOW, null), "never");
});

test("in a backlog only what is current for the moment shown is behind, the rest is stale", () => {
  const toMs = NOW - 600 * MINUTE;
  const shown = { toMs, slackMs: 0 };
  assert.equal(freshness(toMs - MINUTE, 60, NOW, shown), "behind");
  assert.equal(freshness(toMs - 4 * MINUTE, 60, NOW, shown), "stale");
  assert.equal(freshness(toMs - 4 * MINUTE, 60, NOW, { toMs, slackMs: 2 * MINUTE }), "behind");
  assert.equal(freshness(NOW - MINUTE, 60, NOW, shown), "fresh");
});

test("a watermark that runs faster than the clock and is far behind is a backlog", () => {
  const detector = new BacklogDetector();
  const start = NOW - 600 * MINUTE;
  assert.equal(detector.observe(start, NOW), null);
  const toMs = start + 5 * MINUTE;
  assert.deepEqual(detector.observe(toMs, NOW + 1000), { toMs, slackMs: 15 * MINUTE });
});

test("a watermark that stands still is a fault, not a backlog", () => {
  const detector = new BacklogDetector();
  const start = NOW - 600 * MINUTE;
  for (let second = 0; second < 30; second += 1) assert.equal(detector.observe(start, NOW + second * 1000), null);
});

test("a live watermark, a few seconds behind, is no backlog even where it jumps", () => {
  const detector = new BacklogDetector();
  detector.observe(NOW - 5000, NOW);
  assert.equal(detector.observe(NOW - 1000, NOW + 1000), null);
});

test("a backlog that has been worked off ends", () => {
  const detector = new BacklogDetector();
  detector.observe(NOW - 600 * MINUTE, NOW);
  assert.equal(detector.observe(NOW, NOW + 2000), null);
});
