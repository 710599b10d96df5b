import type { LedgerTotals } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { onLanguage, t, type Key } from "../text/catalogue.ts";
import { formatCount } from "../text/numbers.ts";
import { moment } from "../text/times.ts";
import { DeadLetters } from "./dead_letters.ts";
import { button, byId, element } from "./element.ts";
import { OffsetGaps } from "./offset_gaps.ts";
import { WrongClocks } from "./wrong_clocks.ts";
import { byGateway, type GatewayAccount } from "./ledger_sums.ts";

type Share = "stored" | "duplicate" | "dead_letter" | "refused" | "in_flight";

const SHARES: readonly Share[] = ["stored", "duplicate", "dead_letter", "refused", "in_flight"];
const COLUMNS: readonly (keyof LedgerTotals)[] = [
  "received", "stored", "duplicate", "dead_letter", "refused", "in_flight", "unaccounted", "redelivered",
];

/** What became of every reading received, and how many nobody can account for. */
export class LedgerPanel {
  private readonly state: CityState;
  private readonly verdict = element("p", { class: "ledger-verdict" });
  private readonly sum = element("dl", { class: "ledger-sum" });
  private readonly audit = element("p", { class: "ledger-audit" });
  private readonly table = element("tbody");
  private readonly letters: DeadLetters;
  private readonly dialog: HTMLDialogElement;

  constructor(state: CityState) {
    this.state = state;
    this.dialog = this.gateways();
    this.letters = new DeadLetters(state);
    byId("ledger").append(
      element("div", { class: "panel-head" }, [
        element("h2", { data: { t: "ledger.title" }, attributes: { id: "ledger-title" } }),
        button({ class: "button quiet-button", data: { t: "ledger.letters" } }, () => void this.letters.open()),
        button({ class: "button quiet-button", data: { t: "ledger.gateways" } }, () => this.dialog.showModal()),
      ]),
      this.verdict,
      this.sum,
      element("div", { class: "ledger-foot" }, [this.audit, new OffsetGaps(state).button, new WrongClocks(state).button]),
    );
    document.body.append(this.dialog);
    state.on(["ledger"], () => this.show());
    onLanguage(() => this.show());
  }

  private gateways(): HTMLDialogElement {
    const heads = COLUMNS.map((column) => element("th", { data: { t: `ledger.${column}` satisfies Key }, attributes: { scope: "col" } }));
    const dialog = element("dialog", { class: "dialog wide", attributes: { "aria-labelledby": "gateways-title" } }, [
      element("div", { class: "panel-head" }, [
        element("h2", { data: { t: "ledger.gateways_title" }, attributes: { id: "gateways-title" } }),
        button({ class: "button quiet-button", data: { t: "page.close" } }, () => dialog.close()),
      ]),
      element("div", { class: "table-scroll", attributes: { tabindex: "0" } }, [
        element("table", {}, [
          element("thead", {}, [
            element("tr", {}, [
              element("th", { data: { t: "ledger.gateway" }, attributes: { scope: "col" } }),
              ...heads,
              element("th", { data: { t: "ledger.last_seen" }, attributes: { scope: "col" } }),
            ]),
          ]),
          this.table,
        ]),
      ]),
    ]);
    return dialog;
  }

  private show(): void {
    const ledger = this.state.ledger;
    if (ledger === null) return;
    const { totals } = ledger;
    const clean = totals.unaccounted === 0 && (ledger.audit?.doubled ?? 0) === 0;
    this.verdict.dataset["mood"] = clean ? "good" : "bad";
    this.verdict.replaceChildren(
      element("strong", { class: "ledger-number", text: formatCount(totals.unaccounted) }),
      element("span", {}, [
        element("span", { class: "ledger-verdict-title", text: t("ledger.unaccounted_for") }),
        element("span", { class: "quiet", text: t(clean ? "ledger.clean" : "ledger.missing") }),
      ]),
    );
    this.sum.replaceChildren(
      this.term("received", totals.received, "total"),
      ...SHARES.map((share) => this.term(share, totals[share], share)),
    );
    this.showAudit();
    this.table.replaceChildren(...byGateway(ledger.items).map((account) => this.row(account)));
  }

  /** The ledger follows frames; the audit says whether the rows that were stored are still there. */
  private showAudit(): void {
    const audit = this.state.ledger?.audit;
    if (audit === undefined || audit.newest === null) {
      this.audit.textContent = t("ledger.not_audited");
      this.audit.dataset["mood"] = "plain";
      return;
    }
    this.audit.textContent = t("ledger.audit", {
      time: moment(Date.parse(audit.newest), this.state.clock.nowMs()),
      missing: formatCount(audit.missing),
      doubled: formatCount(audit.doubled),
      removed: formatCount(audit.removed),
    });
    this.audit.dataset["mood"] = audit.missing + audit.doubled > 0 ? "bad" : "plain";
  }

  private term(label: keyof LedgerTotals, value: number, role: string): HTMLElement {
    return element("div", { data: { role } }, [
      element("dt", { text: t(`ledger.${label}`) }),
      element("dd", { text: formatCount(value) }),
    ]);
  }

  private row(account: GatewayAccount): HTMLElement {
    const now = this.state.clock.nowMs();
    return element("tr", {}, [
      element("th", { attributes: { scope: "row" } }, [
        account.gateway,
        element("span", { class: "quiet lives", text: t("ledger.lives", { n: account.lives }) }),
      ]),
      ...COLUMNS.map((column) =>
        element("td", {
          text: formatCount(account.totals[column]),
          data: column === "unaccounted" ? { mood: account.totals.unaccounted === 0 ? "good" : "bad" } : {},
        }),
      ),
      element("td", { text: account.lastSeenMs === null ? "–" : moment(account.lastSeenMs, now) }),
    ]);
  }
}
