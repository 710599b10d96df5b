import { acknowledgeAlarm } from "../api/client.ts";
import type { Alarm, Severity } from "../api/shapes.ts";
import { byUrgency, headOf, inGroups, type AlarmGroup } from "../state/alarm_groups.ts";
import type { CityState } from "../state/city_state.ts";
import { language, onLanguage, t } from "../text/catalogue.ts";
import { formatCount } from "../text/numbers.ts";
import { cityZone } from "../text/times.ts";
import { AlarmGroupCard } from "./alarm_group_card.ts";
import { alarmCard, SEVERITY_SHAPES, sinceText, type AlarmActions } from "./alarm_card.ts";
import { arrange, button, byId, element, icon, setText } from "./element.ts";
import { askOperatorName, operatorName } from "./operator_name.ts";
import { Segments } from "./segments.ts";
import { report, solved } from "./trouble.ts";

export type AlarmFilter = "open" | "all";

const LONGEST_LIST = 200;
const REDRAW_AGES_EVERY_TICKS = 20;
const BURST_MS = 50;
const MOST_ANNOUNCED = 3;

/** The alarms, the most urgent first, with acknowledge; silent devices of one gateway as one line. `onFilter` fetches what the filter needs. */
export class AlarmList {
  filter: AlarmFilter = "open";
  private readonly state: CityState;
  private readonly list = element("ol", { class: "alarm-list", attributes: { id: "alarm-list" } });
  private readonly counts = element("div", { class: "alarm-counts" });
  private readonly signed = button({ class: "signed-as" }, () => void this.rename());
  private readonly busy = new Set<number>();
  private cards = new Map<number, { readonly made: string; readonly node: HTMLElement }>();
  private readonly actions: AlarmActions;
  private readonly groups = new Map<string, AlarmGroupCard>();
  private readonly unfolded = new Set<string>();
  private readonly groupsBusy = new Set<string>();
  private announced: Set<number> | null = null;
  private ticks = 0;
  private waiting = false;

  constructor(state: CityState, onFilter: (filter: AlarmFilter) => void) {
    this.state = state;
    this.actions = {
      choose: (alarm) => state.select(alarm.device, alarm.metric),
      acknowledge: (alarm) => void this.acknowledge(alarm),
    };
    const filter = new Segments<AlarmFilter>(
      [
        { value: "open", label: "alarms.open" },
        { value: "all", label: "alarms.all" },
      ],
      this.filter,
      (chosen) => {
        this.filter = chosen;
        this.show();
        onFilter(chosen);
      },
    );
    byId("alarms").append(
      element("div", { class: "panel-head" }, [
        element("h2", { data: { t: "alarms.title" }, attributes: { id: "alarms-title" } }),
        this.counts,
        element("div", { class: "segments", data: { tLabel: "alarms.filter" }, attributes: { role: "group" } }, [...filter.buttons]),
      ]),
      this.list,
      this.signed,
    );
    state.on(["alarms"], () => this.showSoon());
    state.on(["city", "flow"], () => this.show());
    state.on(["tick"], () => this.tick());
    onLanguage(() => this.show());
    this.show();
  }

  /** One drawing for a burst: a dead gateway raises a thousand alarms in a second. */
  private showSoon(): void {
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => {
      this.waiting = false;
      this.show();
      this.announce();
    }, BURST_MS);
  }

  private tick(): void {
    this.ticks += 1;
    if (this.ticks % REDRAW_AGES_EVERY_TICKS === 0) this.show();
  }

  private show(): void {
    const now = this.state.clock.nowMs();
    const chosen = [...this.state.alarms.values()]
      .filter((alarm) => this.filter === "all" || alarm.state !== "cleared")
      .sort(byUrgency);
    const entries = inGroups(chosen, this.state.flow);
    const cards: Node[] = entries
      .slice(0, LONGEST_LIST)
      .map((entry) => ("alarm" in entry ? this.card(entry.alarm, now) : this.groupCard(entry.group, now)));
    this.cards = new Map([...this.cards].filter(([id]) => this.state.alarms.has(id)));
    if (cards.length === 0) cards.push(this.empty());
    if (entries.length > LONGEST_LIST) {
      const more = t("alarms.more", { n: formatCount(entries.length - LONGEST_LIST) });
      cards.push(element("li", { class: "alarm-empty", text: more }));
    }
    arrange(this.list, cards);
    this.showCounts();
    const name = operatorName();
    this.signed.hidden = name === null;
    this.signed.textContent = name === null ? "" : t("operator.signed_as", { name });
  }

  private groupCard(group: AlarmGroup, now: number): HTMLElement {
    let card = this.groups.get(group.key);
    if (card === undefined) {
      card = new AlarmGroupCard(group, {
        fold: (chosen) => this.fold(chosen),
        acknowledgeAll: (chosen) => void this.acknowledgeAll(chosen),
      });
      this.groups.set(group.key, card);
    }
    const members = this.unfolded.has(group.key) ? group.alarms.map((alarm) => this.card(alarm, now)) : null;
    card.show(group, now, this.groupsBusy.has(group.key), members);
    return card.node;
  }

  private fold(group: AlarmGroup): void {
    if (!this.unfolded.delete(group.key)) this.unfolded.add(group.key);
    this.show();
  }

  private async acknowledgeAll(group: AlarmGroup): Promise<void> {
    const by = await askOperatorName();
    if (by === null) return;
    this.groupsBusy.add(group.key);
    this.show();
    try {
      for (const alarm of group.alarms.filter(({ state }) => state === "raised")) {
        this.state.takeAlarm(await acknowledgeAlarm(alarm.alarm_id, by, language()));
      }
      solved("acknowledge");
    } catch (cause) {
      report("acknowledge", cause);
    }
    this.groupsBusy.delete(group.key);
    this.show();
  }

  /** The card made before, unless what it shows has changed; only its age is restated in place. */
  private card(alarm: Alarm, now: number): HTMLElement {
    const busy = this.busy.has(alarm.alarm_id);
    const made = JSON.stringify([alarm, busy, language(), cityZone()]);
    const known = this.cards.get(alarm.alarm_id);
    if (known?.made === made) {
      const since = known.node.querySelector(".alarm-since");
      if (since !== null) setText(since, sinceText(alarm, now, this.state.status?.behind_s ?? null));
      return known.node;
    }
    const node = alarmCard(alarm, now, this.state.status?.behind_s ?? null, busy, this.actions);
    this.cards.set(alarm.alarm_id, { made, node });
    return node;
  }

  private empty(): HTMLElement {
    if (!this.state.alarmsKnown) return element("li", { class: "alarm-empty", text: t("alarms.not_known") });
    return element("li", { class: "alarm-empty", text: t(this.filter === "open" ? "alarms.none_open" : "alarms.none") });
  }

  private showCounts(): void {
    const open = this.state.openEntries().map(headOf);
    const nodes = (["critical", "warning", "info"] as const)
      .map((severity) => ({ severity, n: open.filter((alarm) => alarm.severity === severity).length }))
      .filter(({ n }) => n > 0)
      .map(({ severity, n }) => this.count(severity, n));
    this.counts.replaceChildren(...nodes);
  }

  private count(severity: Severity, n: number): HTMLElement {
    const label = `${formatCount(n)} ${t(`severity.${severity}`)}`;
    return element("span", { class: "alarm-count", data: { severity }, attributes: { title: label } }, [
      icon(SEVERITY_SHAPES[severity], "alarm-shape"),
      element("span", { text: formatCount(n), attributes: { "aria-hidden": "true" } }),
      element("span", { class: "visually-hidden", text: label }),
    ]);
  }

  /** Tells screen readers of alarms that were not there before; the first list is not news. */
  private announce(): void {
    const raised = this.state.openAlarms().filter((alarm) => alarm.state === "raised");
    const before = this.announced;
    this.announced = new Set(raised.map((alarm) => alarm.alarm_id));
    if (before === null) return;
    const fresh = raised.filter(({ alarm_id }) => !before.has(alarm_id));
    if (fresh.length === 0) return;
    const texts = fresh.slice(0, MOST_ANNOUNCED).map((alarm) =>
      t("alarms.new", { severity: t(`severity.${alarm.severity}`), title: alarm.title, device: alarm.name || alarm.device }),
    );
    if (fresh.length > MOST_ANNOUNCED) texts.push(t("alarms.new_more", { n: formatCount(fresh.length - MOST_ANNOUNCED) }));
    byId("announcer").replaceChildren(...texts.map((text) => element("p", { text })));
  }

  private async rename(): Promise<void> {
    await askOperatorName(true);
    this.show();
  }

  private async acknowledge(alarm: Alarm): Promise<void> {
    const by = await askOperatorName();
    if (by === null) return;
    this.busy.add(alarm.alarm_id);
    this.show();
    try {
      const changed = await acknowledgeAlarm(alarm.alarm_id, by, language());
      this.busy.delete(alarm.alarm_id);
      this.state.takeAlarm(changed);
      solved("acknowledge");
    } catch (cause) {
      this.busy.delete(alarm.alarm_id);
      report("acknowledge", cause);
      this.show();
    }
  }
}
