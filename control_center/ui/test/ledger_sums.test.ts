import assert from "node:assert/strict";
import { test } from "node:test";
import { foldText } from "../src/view/fold_text.ts";
import { byGateway } from "../src/view/ledger_sums.ts";

const life = (gateway: string, stored: number, last_seen: string | null) => ({
  gateway, epoch: stored, open: true, received: stored + 1, stored, duplicate: 0, dead_letter: 1, refused: 0, in_flight: 0,
  unaccounted: 0, redelivered: 2, spooled: 0, messages: 9, last_seen,
});

test("the lives of a gateway are added up, and its last sign of life is the newest", () => {
  const accounts = byGateway([
    life("gw-2", 5, null), life("gw-1", 10, "2026-05-01T12:00:00Z"), life("gw-1", 20, "2026-05-01T13:00:00Z"),
  ]);
  assert.deepEqual(accounts.map(({ gateway, lives }) => [gateway, lives]), [["gw-1", 2], ["gw-2", 1]]);
  assert.equal(accounts[0]?.totals.stored, 30);
  assert.equal(accounts[0]?.totals.redelivered, 4);
  assert.equal(accounts[0]?.lastSeenMs, Date.parse("2026-05-01T13:00:00Z"));
  assert.equal(accounts[1]?.lastSeenMs, null);
});

test("a search without marks finds Vietnamese names", () => {
  assert.equal(foldText("Đà Nẵng"), "da nang");
  assert.equal(foldText("Ngũ Hành Sơn"), "ngu hanh son");
});
