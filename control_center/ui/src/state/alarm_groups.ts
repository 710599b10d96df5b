import type { Alarm, Flow, Severity } from "../api/shapes.ts";

/** Fewer silent devices than this of a gateway that answers are told one by one: each may have its own reason. */
export const GROUP_FROM = 10;
/** Of a gateway that is away two are enough: the reason is known. */
const GROUP_FROM_WHEN_AWAY = 2;

const SEVERITIES: readonly Severity[] = ["critical", "warning", "info"];
const STATES: readonly Alarm["state"][] = ["raised", "acknowledged", "cleared"];

/** Why the devices of a gateway are silent together, as far as is known. */
export type Reason = "gateway_unknown" | "gateway_waits_broker" | "devices_silent" | "none";

export interface AlarmGroup {
  readonly key: string;
  readonly gateway: string | null;
  readonly reason: Reason;
  readonly alarms: readonly Alarm[];
}

export type Entry = { readonly alarm: Alarm } | { readonly group: AlarmGroup };

/** What nobody takes care of before what somebody does, worse before less bad, newer before older. */
export function byUrgency(a: Alarm, b: Alarm): number {
  return (
    STATES.indexOf(a.state) - STATES.indexOf(b.state) ||
    (a.state === "cleared" ? 0 : SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity)) ||
    Date.parse(b.raised_at) - Date.parse(a.raised_at) ||
    b.alarm_id - a.alarm_id
  );
}

/** An alarm that a device is silent: it names no metric, and says when the device was last heard. */
export function isAbsence(alarm: Alarm): boolean {
  return alarm.metric === null && alarm.device !== "" && typeof alarm.detail?.["missed_intervals"] === "number";
}

/**
 * The alarms in the order of their urgency; those of silent devices of one gateway as one entry where they have one cause.
 * Nothing is left out: a group holds every alarm that it stands for.
 */
export function inGroups(alarms: readonly Alarm[], flow: Flow | null): Entry[] {
  const silent = new Map<string, Alarm[]>();
  for (const alarm of alarms) {
    if (alarm.state === "cleared" || !isAbsence(alarm)) continue;
    const key = gatewayOf(alarm, flow) ?? "";
    const known = silent.get(key);
    if (known === undefined) silent.set(key, [alarm]);
    else known.push(alarm);
  }
  const grouped = new Set<Alarm>();
  const groups: AlarmGroup[] = [];
  for (const [key, members] of silent) {
    const reason = reasonFor(key, flow);
    if (members.length < (reason === "none" ? GROUP_FROM : GROUP_FROM_WHEN_AWAY)) continue;
    for (const alarm of members) grouped.add(alarm);
    groups.push({ key: `group:${key}`, gateway: key === "" ? null : key, reason, alarms: [...members].sort(byUrgency) });
  }
  const entries: Entry[] = [
    ...alarms.filter((alarm) => !grouped.has(alarm)).map((alarm) => ({ alarm })),
    ...groups.map((group) => ({ group })),
  ];
  return entries.sort((a, b) => byUrgency(headOf(a), headOf(b)));
}

/** The alarm that decides where an entry stands. */
export function headOf(entry: Entry): Alarm {
  if ("alarm" in entry) return entry.alarm;
  const [first] = entry.group.alarms;
  if (first === undefined) throw new Error("a group without alarms");
  return first;
}

/** When the first of a group fell silent. */
export const sinceMs = (group: AlarmGroup): number => Math.min(...group.alarms.map((alarm) => Date.parse(alarm.raised_at)));

/** Its own gateway; where that is not known and there is only one, that one. */
function gatewayOf(alarm: Alarm, flow: Flow | null): string | null {
  if (alarm.gateway !== null && alarm.gateway !== undefined) return alarm.gateway;
  const gateways = flow?.hops.filter((hop) => hop.part === "gateway") ?? [];
  return gateways.length === 1 ? (gateways[0]?.name ?? null) : null;
}

function reasonFor(gateway: string, flow: Flow | null): Reason {
  const hop = flow?.hops.find((one) => one.part === "gateway" && one.name === gateway);
  if (hop === undefined) return "none";
  if (hop.state === "unknown") return "gateway_unknown";
  if (hop.waits_for === "broker") return "gateway_waits_broker";
  const devices = flow?.hops.find((one) => one.part === "devices");
  return devices?.state === "silent" ? "devices_silent" : "none";
}
