import type { Device } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { named, t } from "../text/catalogue.ts";
import { byId, element } from "./element.ts";
import { foldText } from "./fold_text.ts";

const MOST_OPTIONS = 8;

/** Finds a device by name, id, kind or district with the keyboard (the ARIA combobox pattern): the map's way for those who cannot click it. */
export class DeviceSearch {
  private readonly state: CityState;
  private readonly input = element("input", {
    class: "field",
    data: { tPlaceholder: "search.placeholder", tLabel: "search.label" },
    attributes: {
      id: "device-search", type: "search", role: "combobox", autocomplete: "off", spellcheck: "false",
      "aria-expanded": "false", "aria-controls": "device-options", "aria-autocomplete": "list",
    },
  });
  private readonly options = element("ul", {
    class: "options", data: { tLabel: "search.label" }, attributes: { id: "device-options", role: "listbox" },
  });
  private found: readonly Device[] = [];
  private active = -1;

  constructor(state: CityState) {
    this.state = state;
    this.options.hidden = true;
    byId("map-search").append(this.input, this.options);
    this.input.addEventListener("input", () => this.look());
    this.input.addEventListener("focus", () => this.look());
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.key(event));
  }

  private look(): void {
    const wanted = foldText(this.input.value.trim());
    if (wanted === "") return this.close();
    const matches = [...this.state.devices.values()].filter((device) => this.searchText(device).includes(wanted));
    this.found = matches.slice(0, MOST_OPTIONS);
    this.active = this.found.length > 0 ? 0 : -1;
    this.show(matches.length);
  }

  private searchText(device: Device): string {
    return foldText([device.name, device.device, device.district, named("kind", device.kind)].join(" "));
  }

  private show(matches: number): void {
    const nodes = this.found.map((device, index) => {
      const option = element(
        "li",
        { class: "option", attributes: { role: "option", id: `option-${index}`, "aria-selected": String(index === this.active) } },
        [
          element("span", { text: device.name || device.device }),
          element("span", { class: "quiet", text: [named("kind", device.kind), device.district].filter(Boolean).join(" · ") }),
        ],
      );
      // mousedown, not click: the blur of the input would close the list first
      option.addEventListener("mousedown", (event) => {
        event.preventDefault();
        this.choose(index);
      });
      return option;
    });
    if (matches === 0) nodes.push(element("li", { class: "option quiet", text: t("search.none") }));
    if (matches > this.found.length) {
      nodes.push(element("li", { class: "option quiet", text: t("search.more", { n: matches - this.found.length }) }));
    }
    this.options.replaceChildren(...nodes);
    this.options.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    if (this.active >= 0) this.input.setAttribute("aria-activedescendant", `option-${this.active}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  private close(): void {
    this.options.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  private clear(): void {
    this.input.value = "";
    this.found = [];
    this.close();
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "ArrowDown") this.move(1);
    else if (event.key === "ArrowUp") this.move(-1);
    else if (event.key === "Enter") this.choose(this.active);
    else if (event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
  }

  private move(by: number): void {
    if (this.found.length === 0) return;
    this.active = (this.active + by + this.found.length) % this.found.length;
    this.show(this.found.length);
  }

  private choose(index: number): void {
    const device = this.found[index];
    if (device === undefined) return;
    this.clear();
    this.state.select(device.device);
  }
}
