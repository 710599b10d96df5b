import assert from "node:assert/strict";
import { test } from "node:test";
import type { Alarm, Flow, Hop } from "../src/api/shapes.ts";
import { byUrgency, GROUP_FROM, inGroups, sinceMs } from "../src/state/alarm_groups.ts";
import { flowIsOld } from "../src/state/flow_age.ts";

const NOW = Date.parse("2026-05-01T12:00:00Z");
let made = 0;

function alarm(changed: Partial<Alarm> = {}): Alarm {
  made += 1;
  return {
    alarm_id: made, rule_id: "r", title: "", device: `d-${made}`, name: null, metric: "pm10", unit: null, severity: "warning",
    state: "raised", raised_at: "2026-05-01T10:00:00Z", raised_value: 1, detail: {}, advice: null, acknowledged_at: null,
    acknowledged_by: null, cleared_at: null, cleared_value: null, latitude: null, longitude: null, gateway: "gw-1", ...changed,
  };
}

const silent = (changed: Partial<Alarm> = {}): Alarm => alarm({ metric: null, detail: { missed_intervals: 3 }, ...changed });
const many = (n: number, changed: Partial<Alarm> = {}): Alarm[] => Array.from({ length: n }, () => silent(changed));

function flow(...hops: Partial<Hop>[]): Flow {
  const fine = { name: "", state: "fine", waits_for: null, age_s: null, lag_s: null, queue_bytes: null, queue_limit_bytes: null, hours_left: null };
  return {
    time: new Date(NOW).toISOString(), mood: "live", headline: "", behind_s: null, left_s: null,
    hops: hops.map((hop) => ({ ...fine, part: "gateway", text: "", ...hop }) as Hop),
  };
}

const groups = (alarms: Alarm[], known: Flow | null) => inGroups(alarms, known).flatMap((entry) => ("group" in entry ? [entry.group] : []));

test("what nobody takes care of stands first, then what is worse, then what is newer", () => {
  const alarms = [
    alarm({ state: "cleared", severity: "critical", raised_at: "2026-05-01T11:59:00Z" }),
    alarm({ state: "acknowledged", severity: "critical" }),
    alarm({ severity: "info", raised_at: "2026-05-01T11:00:00Z" }),
    alarm({ severity: "warning", raised_at: "2026-05-01T09:00:00Z" }),
    alarm({ severity: "warning", raised_at: "2026-05-01T10:30:00Z" }),
  ];
  const order = [...alarms].sort(byUrgency).map((one) => alarms.indexOf(one));
  assert.deepEqual(order, [4, 3, 2, 1, 0]);
});

test("many silent devices of one gateway are one entry that holds every one of them", () => {
  const alarms = many(GROUP_FROM);
  const [group] = groups(alarms, flow({ name: "gw-1" }));
  assert.equal(group?.gateway, "gw-1");
  assert.equal(group?.reason, "none");
  assert.deepEqual(new Set(group?.alarms), new Set(alarms));
  assert.equal(inGroups(alarms, null).length, 1);
});

test("a few silent devices of a gateway that answers each have their own reason", () => {
  assert.equal(inGroups(many(GROUP_FROM - 1), flow({ name: "gw-1" })).length, GROUP_FROM - 1);
});

test("of a gateway that does not answer two are enough, and it is said why", () => {
  const [group] = groups(many(2), flow({ name: "gw-1", state: "unknown" }));
  assert.equal(group?.reason, "gateway_unknown");
  assert.equal(groups(many(2), flow({ name: "gw-1", state: "waiting", waits_for: "broker" }))[0]?.reason, "gateway_waits_broker");
  assert.equal(groups(many(2), flow({ name: "gw-1" }, { part: "devices", state: "silent" }))[0]?.reason, "devices_silent");
});

test("a gateway that waits for Kafka hears its devices: nothing is explained by that", () => {
  assert.equal(groups(many(2), flow({ name: "gw-1", state: "waiting", waits_for: "kafka" })).length, 0);
});

test("two gateways are two entries, and other alarms stay as they are", () => {
  const other = alarm({ severity: "critical" });
  const entries = inGroups([...many(12), ...many(11, { gateway: "gw-2" }), other], flow({ name: "gw-1" }, { name: "gw-2" }));
  assert.equal(entries.length, 3);
  assert.deepEqual(entries[0], { alarm: other });
});

test("a device whose gateway is not known belongs to the only one there is, else to none", () => {
  const unknown = many(10, { gateway: null });
  assert.equal(groups(unknown, flow({ name: "gw-1" }))[0]?.gateway, "gw-1");
  assert.equal(groups(unknown, flow({ name: "gw-1" }, { name: "gw-2" }))[0]?.gateway, null);
});

test("cleared alarms and the ledger's own are in no group", () => {
  const alarms = [...many(10, { state: "cleared" }), ...Array.from({ length: 10 }, () => alarm({ metric: null, device: "citynerve" }))];
  assert.equal(groups(alarms, null).length, 0);
});

test("a group is as old as the first device that fell silent", () => {
  const alarms = [...many(9), silent({ raised_at: "2026-05-01T09:30:00Z" })];
  const [group] = groups(alarms, null);
  assert.equal(group && sinceMs(group), Date.parse("2026-05-01T09:30:00Z"));
});

test("a picture of another time, or from before the stream broke, is old", () => {
  const known = flow({ name: "gw-1" });
  assert.equal(flowIsOld(known, "live", NOW + 10_000), false);
  assert.equal(flowIsOld(known, "live", NOW + 16_000), true);
  assert.equal(flowIsOld(known, "lost", NOW), true);
  assert.equal(flowIsOld(null, "live", NOW), true);
});
