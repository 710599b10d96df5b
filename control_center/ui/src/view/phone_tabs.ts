import type { CityState } from "../state/city_state.ts";
import type { Key } from "../text/catalogue.ts";
import { button, byId, element } from "./element.ts";

export type Tab = "map" | "alarms" | "device" | "ledger";

const TABS: readonly { tab: Tab; label: Key }[] = [
  { tab: "map", label: "tab.map" },
  { tab: "alarms", label: "tab.alarms" },
  { tab: "device", label: "tab.device" },
  { tab: "ledger", label: "tab.ledger" },
];

/** On a phone one section is shown at a time; on a desk all of them, and this bar is hidden. */
export function showTabs(state: CityState): void {
  const badge = element("span", { class: "tab-badge", attributes: { "aria-hidden": "true" } });
  const buttons = TABS.map(({ tab, label }) =>
    button({ class: "tab", data: { tab } }, () => open(tab), [element("span", { data: { t: label } }), tab === "alarms" ? badge : null]),
  );
  const open = (tab: Tab): void => {
    document.body.dataset["tab"] = tab;
    for (const one of buttons) {
      if (one.dataset["tab"] === tab) one.setAttribute("aria-current", "page");
      else one.removeAttribute("aria-current");
    }
  };
  byId("tabs").append(...buttons);
  open("map");
  state.on(["alarms", "flow"], () => {
    const n = state.raisedEntries();
    badge.textContent = n > 0 ? String(n) : "";
  });
  let shown: string | null = null;
  state.on(["selection"], () => {
    const device = state.selection?.device ?? null;
    if (device !== null && device !== shown) open("device");
    if (device === null && shown !== null) open("map");
    shown = device;
  });
}
