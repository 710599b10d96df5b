import type { Key } from "../text/catalogue.ts";
import { button } from "./element.ts";

export interface Choice<Value extends string> {
  readonly value: Value;
  readonly label: Key;
}

/** A row of buttons of which one is pressed. */
export class Segments<Value extends string> {
  readonly buttons: readonly HTMLButtonElement[];
  private readonly choices: readonly Choice<Value>[];

  constructor(choices: readonly Choice<Value>[], chosen: Value, onChoose: (value: Value) => void) {
    this.choices = choices;
    this.buttons = choices.map((choice) =>
      button({ class: "segment", data: { t: choice.label, value: choice.value } }, () => {
        this.show(choice.value);
        onChoose(choice.value);
      }),
    );
    this.show(chosen);
  }

  show(chosen: Value): void {
    this.choices.forEach((choice, index) => this.buttons[index]?.setAttribute("aria-pressed", String(choice.value === chosen)));
  }
}
