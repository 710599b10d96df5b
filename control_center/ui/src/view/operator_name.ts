import { translate } from "../text/catalogue.ts";
import { button, element } from "./element.ts";

const REMEMBERED_AS = "citynerve.operator";
const LONGEST_NAME = 80;

export const operatorName = (): string | null => localStorage.getItem(REMEMBERED_AS);

/** The remembered name, or asks for it once. Null where the operator cancels. `again` asks although a name is known. */
export async function askOperatorName(again = false): Promise<string | null> {
  const known = operatorName();
  if (known !== null && !again) return known;
  const name = await ask(known ?? "");
  if (name !== null) localStorage.setItem(REMEMBERED_AS, name);
  return name;
}

function ask(suggestion: string): Promise<string | null> {
  const input = element("input", {
    class: "field",
    attributes: { id: "operator-name", name: "name", required: "", maxlength: String(LONGEST_NAME), autocomplete: "name" },
  });
  input.value = suggestion;
  const form = element("form", { class: "dialog-form" }, [
    element("h2", { data: { t: "operator.title" }, attributes: { id: "operator-title" } }),
    element("p", { class: "quiet", data: { t: "operator.why" } }),
    element("label", { data: { t: "operator.name" }, attributes: { for: "operator-name" } }),
    input,
    element("div", { class: "dialog-actions" }, [
      button({ class: "button quiet-button", data: { t: "operator.cancel" } }, () => dialog.close()),
      element("button", { class: "button primary", data: { t: "operator.save" }, attributes: { type: "submit" } }),
    ]),
  ]);
  const dialog = element("dialog", { class: "dialog", attributes: { "aria-labelledby": "operator-title" } }, [form]);
  document.body.append(dialog);
  translate(dialog);
  return new Promise((resolve) => {
    let given: string | null = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      given = input.value.trim();
      if (given === "") given = null;
      else dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    dialog.showModal();
    input.focus();
  });
}
