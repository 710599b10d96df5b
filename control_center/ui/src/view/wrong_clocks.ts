import { fetchWrongClocks } from "../api/client.ts";
import type { WrongClock } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { language, onLanguage, t } from "../text/catalogue.ts";
import { formatCount } from "../text/numbers.ts";
import { moment } from "../text/times.ts";
import { button, element } from "./element.ts";
import { TableDialog } from "./table_dialog.ts";

const EVERY_TICKS = 15;

/** Devices whose clock is wrong. The button that opens them is there only while there are some. */
export class WrongClocks {
  readonly button: HTMLButtonElement;
  private readonly state: CityState;
  private readonly dialog = new TableDialog("clocks", [
    "clocks.device", "clocks.offset", "clocks.looks_like", "clocks.readings", "clocks.last_seen",
  ]);
  private clocks: readonly WrongClock[] = [];
  private ticks = 0;

  constructor(state: CityState) {
    this.state = state;
    this.button = button({ class: "button quiet-button foot-button" }, () => this.dialog.open());
    state.on(["tick"], () => {
      this.ticks += 1;
      if (this.ticks % EVERY_TICKS === 1) this.load();
    });
    onLanguage(() => this.load());
    this.show();
  }

  /** Where it cannot be loaded the list before stays; the ledger beside it says that the control center fails. */
  private load(): void {
    void fetchWrongClocks(language()).then(
      (clocks) => {
        this.clocks = clocks;
        this.show();
      },
      () => undefined,
    );
  }

  private show(): void {
    const n = formatCount(this.clocks.length);
    this.button.hidden = this.clocks.length === 0;
    this.button.textContent = t("clocks.button", { n });
    this.dialog.show(t("clocks.title"), this.clocks.map((clock) => this.row(clock)), "clocks.none");
  }

  private row(clock: WrongClock): HTMLElement {
    return element("tr", { data: { device: clock.device } }, [
      element("th", { text: this.state.displayName(clock.device), attributes: { scope: "row", title: clock.device } }),
      element("td", { text: clock.offset ?? "–" }),
      element("td", { class: "letter-newest", text: clock.text }),
      element("td", { text: formatCount(clock.readings) }),
      element("td", { text: moment(Date.parse(clock.last_seen), this.state.clock.nowMs()) }),
    ]);
  }
}
