import { fetchDeadLetterReasons } from "../api/client.ts";
import type { DeadLetterReason } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { onLanguage, t, type Key } from "../text/catalogue.ts";
import { formatCount } from "../text/numbers.ts";
import { moment } from "../text/times.ts";
import { button, element } from "./element.ts";
import { report, solved } from "./trouble.ts";

const DAYS = 7;
const COLUMNS: readonly Key[] = [
  "ledger.letters.reason", "ledger.letters.readings", "ledger.letters.letters", "ledger.letters.waiting", "ledger.letters.newest",
];

/** What was set aside, by reason, each with its newest example. Fetched when it is opened. */
export class DeadLetters {
  private readonly state: CityState;
  private readonly title = element("h2", { attributes: { id: "letters-title" } });
  private readonly table = element("tbody");
  private readonly dialog: HTMLDialogElement;
  private reasons: readonly DeadLetterReason[] = [];

  constructor(state: CityState) {
    this.state = state;
    this.dialog = element("dialog", { class: "dialog wide", attributes: { "aria-labelledby": "letters-title" } }, [
      element("div", { class: "panel-head" }, [
        this.title,
        button({ class: "button quiet-button", data: { t: "page.close" } }, () => this.dialog.close()),
      ]),
      element("div", { class: "table-scroll", attributes: { tabindex: "0" } }, [
        element("table", { class: "letters" }, [
          element("thead", {}, [
            element("tr", {}, COLUMNS.map((column) => element("th", { data: { t: column }, attributes: { scope: "col" } }))),
          ]),
          this.table,
        ]),
      ]),
    ]);
    document.body.append(this.dialog);
    onLanguage(() => this.show());
  }

  async open(): Promise<void> {
    this.show();
    this.dialog.showModal();
    try {
      this.reasons = await fetchDeadLetterReasons(DAYS);
      solved("ledger");
    } catch (cause) {
      report("ledger", cause);
    }
    this.show();
  }

  private show(): void {
    this.title.textContent = t("ledger.letters_title", { days: DAYS });
    const none = element("tr", {}, [element("td", { class: "quiet", text: t("ledger.letters_none"), attributes: { colspan: "5" } })]);
    this.table.replaceChildren(...(this.reasons.length === 0 ? [none] : this.reasons.map((one) => this.row(one))));
  }

  private row(one: DeadLetterReason): HTMLElement {
    const parameters = new URLSearchParams({ reason: one.reason, limit: "1" });
    const link = element("a", {
      text: moment(Date.parse(one.newest_received), this.state.clock.nowMs()),
      attributes: { href: `/api/v1/deadletters?${parameters}`, target: "_blank", rel: "noopener" },
    });
    return element("tr", { data: { reason: one.reason } }, [
      element("th", { text: one.reason, attributes: { scope: "row" } }),
      ...[one.readings, one.letters, one.waiting].map((n) => element("td", { text: formatCount(n) })),
      element("td", { class: "letter-newest" }, [
        link,
        element("span", { class: "quiet", text: `${one.newest_gateway} · ${one.newest_topic}` }),
        element("span", { class: "letter-detail", text: one.newest_detail }),
      ]),
    ]);
  }
}
