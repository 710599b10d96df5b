import type { Status } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { onLanguage, t, type Key } from "../text/catalogue.ts";
import { formatAge, formatCount, formatRate } from "../text/numbers.ts";
import { byId, element } from "./element.ts";

type Mood = "plain" | "good" | "warn" | "bad";

interface Tile {
  readonly label: Key;
  readonly hint: Key;
  readonly show: (status: Status, state: CityState) => string;
  readonly mood?: (status: Status, state: CityState) => Mood;
}

const UNKNOWN = "–";
const LAG_WARN_S = 10;
const LAG_BAD_S = 60;

const rate = (value: number | null): string => (value === null ? UNKNOWN : formatRate(value));
const count = (value: number | null): string => (value === null ? UNKNOWN : formatCount(value));
const warnAbove = (value: number | null, warn: number, bad: number): Mood =>
  value === null || value <= warn ? "plain" : value > bad ? "bad" : "warn";

const TILES: readonly Tile[] = [
  { label: "status.received", hint: "status.received.hint", show: (s) => rate(s.readings_per_s) },
  { label: "status.stored", hint: "status.stored.hint", show: (s) => rate(s.stored_per_s) },
  {
    label: "status.rejected",
    hint: "status.rejected.hint",
    show: (s) => rate(s.rejected_per_s),
    mood: (s) => warnAbove(s.rejected_per_s, 0, Number.POSITIVE_INFINITY),
  },
  { label: "status.duplicate", hint: "status.duplicate.hint", show: (s) => rate(s.duplicate_per_s) },
  { label: "status.in_flight", hint: "status.in_flight.hint", show: (s) => count(s.in_flight) },
  {
    label: "status.lag",
    hint: "status.lag.hint",
    show: (s) => (s.lag_s === null ? UNKNOWN : s.lag_s < 10 ? t("age.s", { n: formatRate(s.lag_s) }) : formatAge(s.lag_s)),
    mood: (s) => warnAbove(s.lag_s, LAG_WARN_S, LAG_BAD_S),
  },
  {
    label: "status.devices",
    hint: "status.devices.hint",
    show: (s) => count(s.devices),
  },
  {
    label: "status.stale",
    hint: "status.stale.hint",
    // counted here, as the map judges: the server's own count knows no backlog and would contradict the map during a replay
    show: (_, state) => count(state.silentDevices()),
    mood: (_, state) => warnAbove(state.silentDevices(), 0, Number.POSITIVE_INFINITY),
  },
  {
    label: "status.unaccounted",
    hint: "status.unaccounted.hint",
    show: (s) => count(s.unaccounted),
    mood: (s) => (s.unaccounted === null ? "plain" : s.unaccounted === 0 ? "good" : "bad"),
  },
];

/** The flow through the system, restated every second. */
export function showStrip(state: CityState): void {
  const values = TILES.map(() => element("dd", { text: UNKNOWN }));
  byId("strip").append(
    ...TILES.map((tile, index) =>
      element("div", { class: "tile", data: { tTitle: tile.hint, tile: tile.label, from: tile.label === "status.stale" || tile.label === "status.lag" ? "stream" : "database" } }, [
        element("dt", { data: { t: tile.label } }),
        values[index] ?? null,
      ]),
    ),
  );
  const show = (): void => {
    const status = state.status;
    if (status === null) return;
    TILES.forEach((tile, index) => {
      const node = values[index];
      if (node === undefined) return;
      node.textContent = tile.show(status, state);
      node.dataset["mood"] = tile.mood?.(status, state) ?? "plain";
    });
  };
  state.on(["status"], show);
  onLanguage(show);
}
