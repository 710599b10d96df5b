import assert from "node:assert/strict";
import { test } from "node:test";
import { readable } from "../src/map/labels.ts";

test("of two names that overlap the later one gives way, and its place is free for a third", () => {
  const box = (left: number) => ({ left, top: 0, width: 10, height: 10 });
  assert.deepEqual(readable([box(0), box(8), box(16), box(40)]), [true, false, true, true]);
});
