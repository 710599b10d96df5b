import type { FlowPart, Hop } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { onLanguage, t } from "../text/catalogue.ts";
import { formatAge, formatBytes } from "../text/numbers.ts";
import { arrange, byId, element, icon } from "./element.ts";
import { flowIsOld } from "../state/flow_age.ts";

/** A shape for each state, so that colour is never the only sign: tick, hourglass, cross, dash, question. */
const SHAPES: Readonly<Record<Hop["state"], string>> = {
  fine: "M6.2 12.6 1.6 8l1.5-1.5 3.1 3.1 6.7-6.7L14.4 4.4Z",
  catching_up: "M2 3l5 5-5 5V3Zm7 0 5 5-5 5V3Z",
  waiting: "M3 1h10v3L9.5 8 13 12v3H3v-3l3.5-4L3 4Z",
  silent: "M2 6.8h12v2.4H2Z",
  away: "M3.2 1.6 8 6.4l4.8-4.8 1.6 1.6L9.6 8l4.8 4.8-1.6 1.6L8 9.6l-4.8 4.8-1.6-1.6L6.4 8 1.6 3.2Z",
  unknown: "M5 5.5C5 3 6.3 1.5 8.2 1.5S11.5 3 11.5 5c0 2.5-2.5 2.6-2.5 5H7c0-3.2 2.5-3.4 2.5-5 0-1-.5-1.6-1.3-1.6S7 4.2 7 5.5Zm2 6h2.2v2.5H7Z",
};
const ORDER: readonly FlowPart[] = ["devices", "broker", "gateway", "kafka", "processor", "database"];

const WORST_FIRST: readonly Hop["state"][] = ["away", "waiting", "unknown", "silent", "catching_up"];

/** Who waits for whom, from the devices to this page: a hop for each, and its sentence where it is not simply fine. */
export class FlowChain {
  private readonly state: CityState;
  private readonly hops = element("ol", { class: "chain-hops" });
  private readonly words = element("ul", { class: "chain-words" });
  private readonly worst = element("span", { class: "chain-worst" });
  private readonly box = element("details", { class: "chain-box" });
  private made = "";

  constructor(state: CityState) {
    this.state = state;
    this.box.append(
      element("summary", { class: "chain-summary" }, [this.hops, this.worst]),
      this.words,
    );
    byId("chain").append(this.box);
    state.on(["flow", "connection"], () => this.show());
    state.on(["tick"], () => this.show());
    onLanguage(() => this.show());
    this.show();
  }

  private show(): void {
    const flow = this.state.flow;
    const old = flowIsOld(flow, this.state.connection, this.state.clock.nowMs());
    const parts = [...(flow === null ? [] : ORDER.flatMap((part) => flow.hops.filter((hop) => hop.part === part)))];
    const made = JSON.stringify([parts.map((hop) => [hop.part, hop.name, hop.state, figure(hop), hop.text]), old, this.state.connection, t("chain.page")]);
    if (made === this.made) return;
    this.made = made;
    byId("chain").hidden = flow === null;
    byId("chain").dataset["old"] = String(old);
    arrange(this.hops, [...parts.map((hop) => hopNode(hop, old)), this.pageNode(old)]);
    // a gateway by name first: that the broker and the devices are unknown follows from it
    const named = [...parts].sort((a, b) => Number(a.name === "") - Number(b.name === ""));
    const worst = WORST_FIRST.map((state) => named.find((hop) => hop.state === state)).find((hop) => hop !== undefined);
    this.worst.textContent = old || worst === undefined ? "" : worst.text;
    arrange(this.words, parts.map((hop) => wordsNode(hop, old)));
  }

  private pageNode(old: boolean): HTMLElement {
    return element("li", { class: "hop", data: { part: "page", state: old ? "unknown" : "fine" } }, [
      icon(SHAPES[old ? "unknown" : "fine"], "hop-shape"),
      element("span", { class: "hop-name", text: t("chain.page") }),
    ]);
  }
}

function hopNode(hop: Hop, old: boolean): HTMLElement {
  const state = old ? "unknown" : hop.state;
  const name = hop.name === "" ? t(`chain.${hop.part}`) : hop.name;
  const detail = old ? "" : figure(hop);
  return element("li", { class: "hop", data: { part: hop.part, state, hop: hop.name }, attributes: { title: hop.text } }, [
    icon(SHAPES[state], "hop-shape"),
    element("span", { class: "hop-name", text: name }),
    element("span", { class: "visually-hidden", text: t(`chain.state.${state}`) }),
    detail === "" ? null : element("span", { class: "hop-figure", text: detail }),
  ]);
}

function wordsNode(hop: Hop, old: boolean): HTMLElement {
  return element("li", { data: { part: hop.part, state: old ? "unknown" : hop.state }, text: hop.text });
}

/** The one figure that says most: how long it has waited, what is queued, how far behind. */
function figure(hop: Hop): string {
  if (hop.state === "fine") return "";
  const parts: string[] = [];
  if (hop.age_s !== null) parts.push(formatAge(hop.age_s));
  if (hop.queue_bytes !== null && hop.queue_bytes > 0) parts.push(formatBytes(hop.queue_bytes));
  if (hop.state === "catching_up" && hop.age_s === null && hop.lag_s !== null && hop.lag_s > 1) parts.push(formatAge(hop.lag_s));
  return parts.join(" · ");
}

