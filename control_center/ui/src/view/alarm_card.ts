import type { Alarm, Severity } from "../api/shapes.ts";
import { named, t } from "../text/catalogue.ts";
import { formatAge, formatWithUnit } from "../text/numbers.ts";
import { moment } from "../text/times.ts";
import { button, element, icon } from "./element.ts";

/** A shape for each severity, so that colour is never the only sign: triangle, diamond, disc. */
export const SEVERITY_SHAPES: Readonly<Record<Severity, string>> = {
  critical: "M8 1 15.5 14.5H.5Z",
  warning: "M8 .8 15.2 8 8 15.2.8 8Z",
  info: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13Z",
};

export interface AlarmActions {
  choose(alarm: Alarm): void;
  acknowledge(alarm: Alarm): void;
}

/** The limit that the alarm was judged by, as the processors wrote it. */
export function thresholdOf(alarm: Alarm): number | null {
  for (const name of ["threshold", "raise_at", "limit"]) {
    const value = alarm.detail?.[name];
    if (typeof value === "number") return value;
  }
  return null;
}

export function alarmCard(alarm: Alarm, nowMs: number, behindS: number | null, busy: boolean, actions: AlarmActions): HTMLElement {
  const id = String(alarm.alarm_id);
  const heading = button({ class: "alarm-title", text: alarm.title || alarm.rule_id }, () => actions.choose(alarm));
  return element(
    "li",
    { class: "alarm", data: { severity: alarm.severity, state: alarm.state, alarm: id } },
    [
      element("div", { class: "alarm-head" }, [
        icon(SEVERITY_SHAPES[alarm.severity], "alarm-shape"),
        element("span", { class: "alarm-severity", text: t(`severity.${alarm.severity}`) }),
        element("time", { class: "alarm-since", text: sinceText(alarm, nowMs, behindS), attributes: { datetime: alarm.raised_at } }),
      ]),
      element("h3", {}, [heading]),
      element("p", { class: "alarm-where" }, [
        element("span", { class: "alarm-device", text: alarm.name || alarm.device }),
        alarm.metric === null ? null : element("span", { class: "quiet", text: named("metric", alarm.metric) }),
      ]),
      alarm.metric === null ? silence(alarm, nowMs) : values(alarm),
      alarm.advice && alarm.state !== "cleared" ? element("p", { class: "alarm-advice", text: alarm.advice }) : null,
      foot(alarm, nowMs, busy, actions),
    ],
  );
}

/**
 * "since 14:02 (5 min)": restated in place as time passes. Times are the event's; `behindS`: while a backlog is worked off the data
 * lies so far behind that an alarm of ten minutes ago may have become known just now, and may be over already.
 */
export function sinceText(alarm: Alarm, nowMs: number, behindS: number | null): string {
  const raisedMs = Date.parse(alarm.raised_at);
  const endMs = alarm.cleared_at === null ? nowMs : Date.parse(alarm.cleared_at);
  const time = moment(raisedMs, nowMs);
  const age = formatAge((endMs - raisedMs) / 1000);
  if (alarm.cleared_at !== null) return t("alarm.lasted", { time, age });
  return behindS === null ? t("alarm.since", { time, age }) : t("alarm.since_behind", { time, age, behind: formatAge(behindS) });
}

function values(alarm: Alarm): HTMLElement | null {
  if (alarm.raised_value === null) return null;
  const threshold = thresholdOf(alarm);
  const column = alarm.detail?.["column"];
  const source = alarm.detail?.["source"];
  const kind = typeof column === "string" && column !== "value" ? named("column", column) : "";
  const span = typeof source === "string" && source !== "reading" ? named("source", source) : "";
  const how = [kind, span].filter((part) => part !== "").join(", ");
  return element("p", { class: "alarm-values" }, [
    element("strong", { text: formatWithUnit(alarm.raised_value, alarm.unit) }),
    how === "" ? null : element("span", { class: "quiet", text: how }),
    threshold === null
      ? null
      : element("span", { class: "alarm-limit", text: t("alarm.limit", { limit: formatWithUnit(threshold, alarm.unit) }) }),
  ]);
}

/** An alarm of absence: what is known is the last reading, and how often one is expected. */
function silence(alarm: Alarm, nowMs: number): HTMLElement {
  const last = alarm.detail?.["last_reading"];
  const expected = alarm.detail?.["expected_interval_s"];
  const parts: string[] = [];
  if (typeof last === "string") parts.push(t("alarm.last_reading", { time: moment(Date.parse(last), nowMs) }));
  if (typeof expected === "number") parts.push(t("alarm.expected_every", { age: formatAge(expected) }));
  return element("p", { class: "alarm-values quiet", text: parts.join(" · ") });
}

function foot(alarm: Alarm, nowMs: number, busy: boolean, actions: AlarmActions): HTMLElement {
  if (alarm.state === "raised") {
    const acknowledge = button(
      {
        class: "button acknowledge",
        text: t(busy ? "alarm.acknowledging" : "alarm.acknowledge"),
        attributes: { "aria-label": t("alarm.acknowledge_which", { title: alarm.title, device: alarm.name || alarm.device }) },
      },
      () => actions.acknowledge(alarm),
    );
    acknowledge.disabled = busy;
    return element("div", { class: "alarm-foot" }, [acknowledge]);
  }
  const lines: HTMLElement[] = [];
  if (alarm.acknowledged_at !== null) {
    const text = t("alarm.acknowledged_by", { by: alarm.acknowledged_by ?? "", time: moment(Date.parse(alarm.acknowledged_at), nowMs) });
    lines.push(element("p", { class: "alarm-acknowledged", text }));
  }
  if (alarm.cleared_at !== null) {
    const time = moment(Date.parse(alarm.cleared_at), nowMs);
    const value = alarm.cleared_value === null || alarm.metric === null ? "" : formatWithUnit(alarm.cleared_value, alarm.unit);
    lines.push(element("p", { class: "alarm-cleared", text: t(value === "" ? "alarm.cleared" : "alarm.cleared_at", { time, value }) }));
  }
  return element("div", { class: "alarm-foot" }, lines);
}
