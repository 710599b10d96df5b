import { fetchDeadLetterReasons } from "../api/client.ts";
import type { DeadLetterReason } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { onLanguage, t } from "../text/catalogue.ts";
import { formatCount } from "../text/numbers.ts";
import { moment } from "../text/times.ts";
import { element } from "./element.ts";
import { TableDialog } from "./table_dialog.ts";
import { report, solved } from "./trouble.ts";

const DAYS = 7;

/** What was set aside, by reason, each with its newest example. Fetched when it is opened. */
export class DeadLetters {
  private readonly state: CityState;
  private readonly dialog = new TableDialog("letters", [
    "ledger.letters.reason", "ledger.letters.readings", "ledger.letters.letters", "ledger.letters.waiting", "ledger.letters.newest",
  ]);
  private reasons: readonly DeadLetterReason[] = [];

  constructor(state: CityState) {
    this.state = state;
    onLanguage(() => this.show());
  }

  async open(): Promise<void> {
    this.show();
    this.dialog.open();
    try {
      this.reasons = await fetchDeadLetterReasons(DAYS);
      solved("ledger");
    } catch (cause) {
      report("ledger", cause);
    }
    this.show();
  }

  private show(): void {
    const rows = this.reasons.map((one) => this.row(one));
    this.dialog.show(t("ledger.letters_title", { days: DAYS }), rows, "ledger.letters_none");
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
