import type { CityState } from "../state/city_state.ts";
import { LANGUAGES, language, onLanguage, setLanguage, t } from "../text/catalogue.ts";
import { formatAge } from "../text/numbers.ts";
import { clockTime, longDate, moment } from "../text/times.ts";
import { byId } from "./element.ts";
import { Segments } from "./segments.ts";

/** City, clock, language, and whether what is on the screen is live. */
export function showHeader(state: CityState, silenceMs: () => number): void {
  const languages = new Segments(
    LANGUAGES.map((value) => ({ value, label: `language.${value}` as const })),
    language(),
    setLanguage,
  );
  languages.buttons.forEach((one, index) => {
    one.lang = one.dataset["value"] ?? "";
    one.dataset["tTitle"] = `language.${LANGUAGES[index] ?? "en"}.name`;
  });
  byId("languages").append(...languages.buttons);

  const showConnection = (): void => {
    const text = connectionText(state, silenceMs());
    document.body.dataset["connection"] = state.connection;
    document.body.dataset["mood"] = moodOf(state);
    if (byId("connection-text").textContent !== text) byId("connection-text").textContent = text;
  };
  const showClock = (): void => {
    const now = state.clock.nowMs();
    byId("clock-time").textContent = clockTime(now);
    byId("clock-time").setAttribute("datetime", new Date(now).toISOString());
    byId("clock-date").textContent = longDate(now);
  };
  const showCity = (): void => {
    byId("city-name").textContent = state.city?.name ?? "";
    showTitle();
  };
  const showTitle = (): void => {
    const open = state.raisedEntries();
    const name = ["CityNerve", state.city?.name].filter(Boolean).join(" · ");
    document.title = open > 0 ? `(${open}) ${name}` : name;
  };

  state.on(["city"], showCity);
  state.on(["alarms", "flow"], showTitle);
  state.on(["connection", "status", "flow"], showConnection);
  state.on(["tick", "city"], () => {
    showClock();
    showConnection();
  });
  onLanguage(() => {
    showClock();
    showConnection();
  });
  showClock();
  showConnection();
}

function connectionText(state: CityState, silenceMs: number): string {
  const age = formatAge(silenceMs / 1000);
  if (state.connection === "connecting") return t("connection.connecting");
  if (state.connection === "lost") return t("connection.lost", { age });
  if (state.connection === "silent") return t("connection.silent", { age });
  // the server knows of a backlog what this page can see, and of the stages before it what it cannot
  if (state.flow !== null && state.flow.mood !== "live") return state.flow.headline;
  if (state.backlog === null) return t("connection.live");
  return t("connection.backlog", { time: moment(state.backlog.toMs, state.clock.nowMs()) });
}

function moodOf(state: CityState): string {
  if (state.flow !== null && state.flow.mood !== "live") return state.flow.mood;
  return state.backlog === null ? "live" : "catching_up";
}
