import type { CityState } from "../state/city_state.ts";
import { named, onLanguage, t } from "../text/catalogue.ts";
import { formatCount } from "../text/numbers.ts";
import { arrange, button, byId, element, setText } from "../view/element.ts";
import { kindColour } from "./palette.ts";

interface Entry {
  readonly node: HTMLButtonElement;
  readonly name: HTMLElement;
  readonly count: HTMLElement;
}

/** The kinds of devices with their colours and numbers. A click hides or shows a kind; a device with an open alarm is never hidden. */
export class Legend {
  readonly hidden = new Set<string>();
  private readonly state: CityState;
  private readonly onChange: () => void;
  private readonly entries = new Map<string, Entry>();
  private readonly staleName = element("span");
  private readonly stale = element("span", { class: "legend-stale" }, [element("i", { class: "legend-dot stale" }), this.staleName]);

  private readonly nowhere = element("span", { class: "legend-stale quiet", data: { tTitle: "map.no_position.hint" } });

  constructor(state: CityState, onChange: () => void) {
    this.state = state;
    this.onChange = onChange;
    byId("map-legend").setAttribute("role", "group");
    byId("map-legend").dataset["tLabel"] = "map.legend";
    onLanguage(() => this.show());
  }

  show(): void {
    const counts = new Map<string, number>();
    const stale = this.state.silentDevices() ?? 0;
    let nowhere = 0;
    for (const { kind, latitude, longitude } of this.state.devices.values()) {
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      if (latitude === null || longitude === null) nowhere += 1;
    }
    const kinds = [...counts].sort((a, b) => b[1] - a[1]);
    arrange(byId("map-legend"), [...kinds.map(([kind, count]) => this.entry(kind, count)), this.stale, this.nowhere]);
    this.stale.hidden = stale === 0;
    this.nowhere.hidden = nowhere === 0;
    setText(this.nowhere, t("map.no_position", { n: formatCount(nowhere) }));
    setText(this.staleName, t("map.stale", { n: formatCount(stale) }));
  }

  private entry(kind: string, count: number): HTMLElement {
    const entry = this.entries.get(kind) ?? this.make(kind);
    this.entries.set(kind, entry);
    setText(entry.name, named("kind", kind));
    setText(entry.count, formatCount(count));
    entry.node.setAttribute("aria-pressed", String(!this.hidden.has(kind)));
    return entry.node;
  }

  private make(kind: string): Entry {
    const dot = element("i", { class: "legend-dot" });
    dot.style.background = kindColour(kind);
    const [name, count] = [element("span"), element("span", { class: "quiet" })];
    const node = button({ class: "legend-kind" }, () => this.toggle(kind), [dot, name, count]);
    return { node, name, count };
  }

  private toggle(kind: string): void {
    if (!this.hidden.delete(kind)) this.hidden.add(kind);
    this.show();
    this.onChange();
  }
}
