import { sinceMs, type AlarmGroup } from "../state/alarm_groups.ts";
import { t } from "../text/catalogue.ts";
import { formatAge, formatCount } from "../text/numbers.ts";
import { moment } from "../text/times.ts";
import { SEVERITY_SHAPES } from "./alarm_card.ts";
import { arrange, button, element, icon, setText } from "./element.ts";

export interface GroupActions {
  /** Shows or hides the alarms that the group stands for. */
  fold(group: AlarmGroup): void;
  acknowledgeAll(group: AlarmGroup): void;
}

/** One line for the silent devices of one gateway, its alarms folded beneath. Made once; `show` restates it. */
export class AlarmGroupCard {
  readonly node = element("li", { class: "alarm alarm-group" });
  private readonly severity = element("span", { class: "alarm-severity" });
  private readonly since = element("time", { class: "alarm-since" });
  private readonly title = element("h3", { class: "alarm-group-title" });
  private readonly toggle: HTMLButtonElement;
  private readonly acknowledge: HTMLButtonElement;
  private readonly members = element("ol", { class: "alarm-fold" });
  private readonly shape = element("span");
  private group: AlarmGroup;

  constructor(group: AlarmGroup, actions: GroupActions) {
    this.group = group;
    this.toggle = button({ class: "button quiet-button" }, () => actions.fold(this.group));
    this.acknowledge = button({ class: "button acknowledge" }, () => actions.acknowledgeAll(this.group));
    this.node.append(
      element("div", { class: "alarm-head" }, [this.shape, this.severity, this.since]),
      this.title,
      element("div", { class: "alarm-group-foot" }, [this.acknowledge, this.toggle]),
      this.members,
    );
  }

  /** `cards`: the members' own cards where the group is unfolded, else null. */
  show(group: AlarmGroup, nowMs: number, busy: boolean, cards: readonly Node[] | null): void {
    this.group = group;
    const [head] = group.alarms;
    if (head === undefined) return;
    const raised = group.alarms.filter((alarm) => alarm.state === "raised").length;
    Object.assign(this.node.dataset, { severity: head.severity, state: head.state, group: group.gateway ?? "" });
    this.shape.replaceChildren(icon(SEVERITY_SHAPES[head.severity], "alarm-shape"));
    setText(this.severity, t(`severity.${head.severity}`));
    setText(this.since, formatAge((nowMs - sinceMs(group)) / 1000));
    setText(this.title, titleOf(group, nowMs));
    setText(this.toggle, t(cards === null ? "alarms.group_unfold" : "alarms.group_fold", { n: formatCount(group.alarms.length) }));
    this.toggle.setAttribute("aria-expanded", String(cards !== null));
    this.acknowledge.hidden = raised === 0;
    this.acknowledge.disabled = busy;
    setText(this.acknowledge, t(busy ? "alarm.acknowledging" : "alarms.group_acknowledge", { n: formatCount(raised) }));
    this.members.hidden = cards === null;
    arrange(this.members, cards ?? []);
  }
}

/** "120 devices of gateway gw-1 are silent since 10:02: the gateway does not answer". */
export function titleOf(group: AlarmGroup, nowMs: number): string {
  const gateway = group.gateway;
  const values = { n: formatCount(group.alarms.length), time: moment(sinceMs(group), nowMs) };
  const silent = gateway === null ? t("alarms.group_unknown", values) : t("alarms.group", { ...values, gateway });
  return group.reason === "none" ? silent : t("alarms.group_because", { silent, reason: t(`alarms.group_reason.${group.reason}`) });
}
