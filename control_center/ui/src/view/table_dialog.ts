import { t, type Key } from "../text/catalogue.ts";
import { button, element } from "./element.ts";

/** A table over the page, closed by Escape or its button. */
export class TableDialog {
  private readonly title: HTMLElement;
  private readonly table = element("tbody");
  private readonly dialog: HTMLDialogElement;
  private readonly columns: readonly Key[];

  constructor(name: string, columns: readonly Key[]) {
    this.columns = columns;
    this.title = element("h2", { attributes: { id: `${name}-title` } });
    this.dialog = element("dialog", { class: "dialog wide", data: { dialog: name }, attributes: { "aria-labelledby": `${name}-title` } }, [
      element("div", { class: "panel-head" }, [
        this.title,
        button({ class: "button quiet-button", data: { t: "page.close" } }, () => this.dialog.close()),
      ]),
      element("div", { class: "table-scroll", attributes: { tabindex: "0" } }, [
        element("table", {}, [
          element("thead", {}, [
            element("tr", {}, columns.map((column) => element("th", { data: { t: column }, attributes: { scope: "col" } }))),
          ]),
          this.table,
        ]),
      ]),
    ]);
    document.body.append(this.dialog);
  }

  open(): void {
    this.dialog.showModal();
  }

  show(title: string, rows: readonly HTMLElement[], none: Key): void {
    this.title.textContent = title;
    const empty = (): HTMLElement =>
      element("tr", {}, [element("td", { class: "quiet", text: t(none), attributes: { colspan: String(this.columns.length) } })]);
    this.table.replaceChildren(...(rows.length === 0 ? [empty()] : rows));
  }
}
