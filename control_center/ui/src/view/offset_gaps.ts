import type { OffsetGap } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import { onLanguage, t } from "../text/catalogue.ts";
import { formatCount } from "../text/numbers.ts";
import { moment } from "../text/times.ts";
import { button, element } from "./element.ts";
import { TableDialog } from "./table_dialog.ts";

/** What Kafka no longer had when the processors came to it. The button that opens the list is there only while there are some. */
export class OffsetGaps {
  readonly button: HTMLButtonElement;
  private readonly state: CityState;
  private readonly dialog = new TableDialog("gaps", ["gaps.where", "gaps.offsets", "gaps.readings", "gaps.why", "gaps.seen"]);

  constructor(state: CityState) {
    this.state = state;
    this.button = button({ class: "button quiet-button foot-button" }, () => this.dialog.open());
    state.on(["ledger"], () => this.show());
    onLanguage(() => this.show());
    this.show();
  }

  private show(): void {
    const gaps = this.state.ledger?.gaps ?? [];
    this.button.hidden = gaps.length === 0;
    this.button.textContent = t("gaps.button", { n: formatCount(gaps.length) });
    this.dialog.show(t("gaps.title"), gaps.map((gap) => this.row(gap)), "gaps.none");
  }

  private row(gap: OffsetGap): HTMLElement {
    const from = formatCount(gap.from_offset);
    const span = gap.to_offset === null ? t("gaps.span_open", { from }) : t("gaps.span", { from, to: formatCount(gap.to_offset) });
    return element("tr", { data: { gap: `${gap.topic}/${gap.partition}` } }, [
      element("th", { text: `${gap.topic} / ${gap.partition}`, attributes: { scope: "row" } }),
      element("td", { text: span }),
      element("td", { text: gap.readings === null ? t("gaps.readings_unknown") : formatCount(gap.readings) }),
      element("td", { text: t(`gaps.reason.${gap.reason}`) }),
      element("td", { text: moment(Date.parse(gap.seen_at), this.state.clock.nowMs()) }),
    ]);
  }
}
