import type { CityState } from "../state/city_state.ts";
import { onLanguage, t } from "../text/catalogue.ts";
import { formatAge } from "../text/numbers.ts";
import { byId, setText } from "./element.ts";

const OLD_AFTER_MS = 6_000;

/** Says with its age what the page shows while the control center or the database does not answer. */
export function showStaleness(state: CityState, silenceMs: () => number): void {
  const banner = byId("stale");
  const show = (): void => {
    const databaseMs = databaseAgeMs(state);
    const away = state.connection === "lost" || state.connection === "silent";
    const old = !away && databaseMs !== null && databaseMs > OLD_AFTER_MS;
    document.body.dataset["database"] = old ? "old" : "fresh";
    banner.hidden = !away && !old;
    if (away) setText(banner, t("stale.control", { age: formatAge(silenceMs() / 1000) }));
    else if (old) setText(banner, t("stale.database", { age: formatAge((databaseMs ?? 0) / 1000) }));
  };
  state.on(["connection", "status", "tick"], show);
  onLanguage(show);
}

/** How old what comes from the database is; null where the control center has not said. */
function databaseAgeMs(state: CityState): number | null {
  const sampled = state.status?.sampled_at;
  return sampled === null || sampled === undefined ? null : state.clock.nowMs() - Date.parse(sampled);
}
