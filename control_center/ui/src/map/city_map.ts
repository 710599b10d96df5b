import type { CityState } from "../state/city_state.ts";
import { named, onLanguage, t, type Key } from "../text/catalogue.ts";
import { formatAge } from "../text/numbers.ts";
import { button, byId, element, icon } from "../view/element.ts";
import { cityBounds, districtsOf, nearCity } from "./districts.ts";
import { Legend } from "./legend.ts";
import type { MapEvents, MapView } from "./map_view.ts";
import { PlainMap } from "./plain_map.ts";
import { mapPoints, pointsFingerprint } from "./points.ts";

const DRAW_EVERY_MS = 500;

const ICONS = {
  in: "M7.2 2h1.6v5.2H14v1.6H8.8V14H7.2V8.8H2V7.2h5.2Z",
  out: "M2 7.2h12v1.6H2Z",
  all: "M2 2h4.5v1.6H3.6v2.9H2ZM9.5 2H14v4.5h-1.6V3.6H9.5ZM2 9.5h1.6v2.9h2.9V14H2ZM12.4 9.5H14V14H9.5v-1.6h2.9Z",
};

/** The live map: WebGL where the browser has it, else a plain one that says so. Redrawn at most twice a second. */
export class CityMap {
  private readonly state: CityState;
  private readonly legend: Legend;
  private readonly tip = element("div", { class: "map-tip", attributes: { "aria-hidden": "true" } });
  private view: MapView | null = null;
  private drawn = "";
  private dirty = true;
  private shownDevice: string | null = null;

  constructor(state: CityState) {
    this.state = state;
    this.legend = new Legend(state, () => this.touch());
    this.tip.hidden = true;
    byId("map-panel").append(this.controls(), this.tip);
    state.on(["latest", "alarms", "tick"], () => this.touch());
    state.on(["devices", "city"], () => {
      this.ground();
      this.touch();
    });
    state.on(["selection"], () => this.follow());
    onLanguage(() => this.showNote());
    setInterval(() => this.draw(), DRAW_EVERY_MS);
  }

  async open(): Promise<void> {
    const host = byId("map");
    const events: MapEvents = {
      choose: (device) => {
        this.shownDevice = device;
        this.state.select(device);
      },
      hover: (device, x, y) => this.hover(device, x, y),
    };
    try {
      const { GlMap } = await import("./gl_map.ts");
      this.view = await GlMap.open(host, events, t("map.title"));
      host.dataset["map"] = "webgl";
    } catch {
      this.view = new PlainMap(host, events, t("map.title"));
      host.dataset["map"] = "plain";
    }
    this.ground();
    this.touch();
    this.draw();
    this.showNote();
  }

  private controls(): HTMLElement {
    const control = (label: Key, shape: string, act: () => void): HTMLElement =>
      button({ class: "icon-button", data: { tLabel: label, tTitle: label } }, act, [icon(shape, "control-icon")]);
    return element("div", { class: "map-controls" }, [
      control("map.zoom_in", ICONS.in, () => this.view?.zoom(1)),
      control("map.zoom_out", ICONS.out, () => this.view?.zoom(-1)),
      control("map.whole_city", ICONS.all, () => this.view?.wholeCity()),
    ]);
  }

  private touch(): void {
    this.dirty = true;
  }

  private draw(): void {
    if (!this.dirty || this.view === null) return;
    this.dirty = false;
    const points = mapPoints(this.state, this.legend.hidden);
    const fingerprint = pointsFingerprint(points);
    if (fingerprint === this.drawn) return;
    this.drawn = fingerprint;
    this.view.points(points);
    this.legend.show();
  }

  private ground(): void {
    const { city, devices } = this.state;
    if (this.view === null || city === null || devices.size === 0) return;
    const near = nearCity([...devices.values()], city);
    const bounds = cityBounds(near, city);
    if (bounds !== null) this.view.ground(bounds, districtsOf(near, bounds));
  }

  private showNote(): void {
    const note = byId("map-note");
    note.hidden = byId("map").dataset["map"] !== "plain";
    note.textContent = note.hidden ? "" : t("map.no_webgl");
  }

  /** Brings a device into sight that was chosen elsewhere (an alarm, the search); one clicked on the map is in sight. */
  private follow(): void {
    this.touch();
    this.draw();
    const chosen = this.state.selection?.device ?? null;
    const device = chosen === null ? undefined : this.state.devices.get(chosen);
    if (chosen !== this.shownDevice && device?.longitude != null && device.latitude != null) {
      this.view?.lookAt(device.longitude, device.latitude);
    }
    this.shownDevice = chosen;
  }

  private hover(device: string | null, x: number, y: number): void {
    this.tip.hidden = device === null;
    if (device === null) return;
    const known = this.state.devices.get(device);
    const newest = Math.max(...[...(this.state.latest.get(device)?.values() ?? [])].map((latest) => latest.timeMs));
    const age = Number.isFinite(newest) ? t("device.age", { age: formatAge((this.state.clock.nowMs() - newest) / 1000) }) : t("device.no_value");
    this.tip.replaceChildren(
      element("strong", { text: this.state.displayName(device) }),
      element("span", { class: "quiet", text: [named("kind", known?.kind ?? ""), age].join(" · ") }),
    );
    this.tip.dataset["side"] = x > byId("map").clientWidth / 2 ? "left" : "right";
    this.tip.style.left = `${x}px`;
    this.tip.style.top = `${y}px`;
  }
}
