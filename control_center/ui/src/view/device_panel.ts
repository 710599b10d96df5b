import type { CityState } from "../state/city_state.ts";
import { named, onLanguage, t, translate } from "../text/catalogue.ts";
import { formatAge, formatWithUnit } from "../text/numbers.ts";
import { arrange, button, byId, element, icon, setText } from "./element.ts";
import { Trend } from "./trend.ts";

const CROSS = "M3.3 2.2 8 6.9l4.7-4.7 1.1 1.1L9.1 8l4.7 4.7-1.1 1.1L8 9.1l-4.7 4.7-1.1-1.1L6.9 8 2.2 3.3Z";

interface Row {
  readonly item: HTMLElement;
  readonly choose: HTMLButtonElement;
  readonly name: HTMLElement;
  readonly value: HTMLElement;
  readonly age: HTMLElement;
}

function makeRow(onChoose: () => void): Row {
  const [name, value, age] = [
    element("span", { class: "series-name" }), element("span", { class: "series-value" }), element("span", { class: "series-age" }),
  ];
  const choose = button({ class: "series" }, onChoose, [name, value, age]);
  return { item: element("li", {}, [choose]), choose, name, value, age };
}

/** The chosen device: its latest values, each with its age, and the trend of one of them. */
export class DevicePanel {
  private readonly state: CityState;
  private readonly panel = byId("device-panel");
  private readonly name = element("h2", { class: "device-name" });
  private readonly about = element("p", { class: "device-about quiet" });
  private readonly list = element("ul", { class: "series-list", data: { tLabel: "device.latest" } });
  private readonly trend: Trend;
  private readonly rows = new Map<string, Row>();
  private opener: HTMLElement | null = null;
  private shown: string | null = null;

  constructor(state: CityState) {
    this.state = state;
    this.trend = new Trend(state);
    const close = button({ class: "icon-button", data: { tLabel: "page.close" } }, () => state.unselect(), [icon(CROSS, "cross")]);
    this.panel.append(
      element("div", { class: "device-facts" }, [
        element("div", { class: "device-head" }, [element("div", {}, [this.name, this.about]), close]),
        this.list,
      ]),
      this.trend.node,
    );
    this.panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") state.unselect();
    });
    translate(this.panel);
    state.on(["selection"], () => this.select());
    state.on(["latest", "devices", "tick"], () => this.showValues());
    onLanguage(() => this.showValues());
  }

  private select(): void {
    const selection = this.state.selection;
    const wasHidden = this.panel.hidden;
    this.panel.hidden = selection === null;
    document.body.dataset["device"] = selection === null ? "none" : "chosen";
    if (selection === null) {
      this.opener?.focus();
      this.opener = null;
      return;
    }
    if (selection.device !== this.shown) this.rows.clear();
    this.shown = selection.device;
    if (wasHidden) this.opener = document.activeElement instanceof HTMLElement ? document.activeElement : null;
    this.showValues();
    this.trend.choose(selection);
  }

  private showValues(): void {
    const selection = this.state.selection;
    if (selection === null) return;
    const device = this.state.devices.get(selection.device);
    this.name.textContent = this.state.displayName(selection.device);
    const about = [device === undefined ? "" : named("kind", device.kind), device?.district ?? "", device?.name ? selection.device : ""];
    this.about.textContent = about.filter((part) => part !== "").join(" · ");
    arrange(this.list, this.metrics(selection.device).map((metric) => this.row(selection.device, metric)));
  }

  private metrics(device: string): string[] {
    const known = (this.state.seriesOf.get(device) ?? []).map((series) => series.metric);
    return [...new Set([...known, ...(this.state.latest.get(device)?.keys() ?? [])])];
  }

  private row(device: string, metric: string): HTMLElement {
    const key = `${device}\n${metric}`;
    const row = this.rows.get(key) ?? makeRow(() => this.state.select(device, metric));
    this.rows.set(key, row);
    const latest = this.state.latest.get(device)?.get(metric);
    const freshness = this.state.seriesFreshness(device, metric);
    const unit = this.state.series(device, metric)?.unit ?? null;
    row.choose.dataset["freshness"] = freshness;
    row.choose.setAttribute("aria-pressed", String(this.state.selection?.metric === metric));
    setText(row.name, named("metric", metric));
    setText(row.value, latest === undefined ? "–" : formatWithUnit(latest.value, unit));
    setText(row.age, this.age(latest?.timeMs, freshness));
    return row.item;
  }

  private age(timeMs: number | undefined, state: string): string {
    if (timeMs === undefined) return t("device.no_value");
    const age = formatAge((this.state.clock.nowMs() - timeMs) / 1000);
    return t(state === "stale" ? "device.stale_age" : "device.age", { age });
  }
}
