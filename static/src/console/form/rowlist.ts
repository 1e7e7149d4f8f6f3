// Rows that one adds and removes, under a title.

import { el, say } from "../../dom";

export interface ListedRow {
  element: HTMLElement;
  /** The input in which one begins. */
  first: HTMLInputElement;
}

export class RowList<Row extends ListedRow> {
  all: Row[] = [];
  readonly element: HTMLElement;
  private readonly list = el("div", { className: "rows" });
  private readonly add: HTMLButtonElement;
  private readonly beyond: HTMLElement;

  /** `one`: what a row is, such as a variable. `make`: an empty one. `removed`: writes what is left, after a row with this input went. */
  constructor(
    title: string,
    private readonly one: string,
    beyond: string,
    make: () => Row,
    private readonly removed: (input: HTMLInputElement) => void,
  ) {
    this.add = el("button", { type: "button" }, `Add a ${one}`);
    this.beyond = el("p", { className: "hint", hidden: true }, beyond);
    this.add.addEventListener("click", () => {
      const row = make();
      this.all.push(row);
      this.list.append(row.element);
      this.number();
      row.first.focus();
    });
    this.element = el("fieldset", {}, el("legend", {}, title), this.list, this.beyond, this.add);
  }

  /** Shows these rows; null when the body has what rows cannot show. */
  show(rows: Row[] | null): void {
    this.beyond.hidden = rows !== null;
    this.add.disabled = rows === null;
    this.all = rows ?? [];
    this.list.replaceChildren(...this.all.map((row) => row.element));
    this.number();
  }

  /** The button that removes a row. */
  removal(row: Row): HTMLButtonElement {
    const remove = el("button", { type: "button", className: "quiet", "aria-label": "Remove" }, "×");
    remove.addEventListener("click", () => {
      this.all = this.all.filter((other) => other !== row);
      row.element.remove();
      this.number();
      this.add.focus();
      say("Removed");
      this.removed(row.first);
    });
    return remove;
  }

  private number(): void {
    this.all.forEach((row, index) => row.element.setAttribute("aria-label", `${this.one} ${index + 1}`));
  }
}
