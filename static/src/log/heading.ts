// The heading of an attempt in the log: what became of it, and a button that folds its lines away.

import { el } from "../dom";

export class Heading {
  readonly element: HTMLElement;
  private readonly button: HTMLButtonElement;

  constructor(onToggle: () => void) {
    this.button = el("button", { type: "button", "aria-expanded": "true" });
    this.button.addEventListener("click", onToggle);
    this.element = el("div", { className: "row attempt", role: "heading", "aria-level": 2 }, this.button);
  }

  draw(words: string, folded: boolean): void {
    if (this.button.textContent !== words) this.button.textContent = words;
    this.button.setAttribute("aria-expanded", String(!folded));
  }

  focus(): void {
    this.button.focus({ preventScroll: true });
  }
}
