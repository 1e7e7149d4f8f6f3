// The body as JSON, whole. It can have fields that the form does not show.

import { el } from "../../dom";
import { isolated } from "../../words";
import { type Fault, faultWords } from "./body";
import { area, labelled, showFaults } from "./entries";
import { type Fields, JsonFault, parse, pretty } from "./json";

const LEAST_LINES = 12;
const MOST_LINES = 32;

export class JsonView {
  readonly element: HTMLElement;
  readonly input = area();
  /** Why it cannot be read. */
  fault: JsonFault | null = null;
  private readonly list = el("ul", { className: "faults" });
  private places = new Map<string, number>();

  /** `changed`: takes the body that was typed; null when it cannot be read. */
  constructor(private readonly changed: (body: Fields | null) => void) {
    this.element = el("section", { hidden: true }, el("div", { className: "fields" }, labelled(this.input, "The job as JSON"), this.list));
    this.input.addEventListener("input", () => this.changed(this.read()));
  }

  show(body: Fields): void {
    this.input.value = pretty(body);
    this.read();
  }

  /** Lists what is wrong, each with its line, which a click goes to. */
  showFaults(faults: readonly Fault[]): void {
    const rows = faults.map((fault) => {
      const button = el("button", { type: "button" }, `Line ${this.line(fault)}`);
      button.addEventListener("click", () => this.goTo(fault));
      return el("li", {}, button, " ", isolated(faultWords(fault)));
    });
    this.list.replaceChildren(...rows);
  }

  /** Puts the cursor to where a fault is; without one, to where the text cannot be read. */
  goTo(fault?: Fault): void {
    const at = fault ? this.place(fault) : (this.fault?.at ?? 0);
    this.input.focus();
    this.input.setSelectionRange(at, at);
  }

  private read(): Fields | null {
    this.input.rows = Math.min(MOST_LINES, Math.max(LEAST_LINES, this.input.value.split("\n").length));
    this.fault = null;
    try {
      const { value, places } = parse(this.input.value);
      this.places = places;
      return value;
    } catch (error) {
      if (!(error instanceof JsonFault)) throw error;
      this.fault = error;
      return null;
    } finally {
      showFaults(this.input, this.fault ? [{ field: "", message: `${(this.fault as JsonFault).message}.` }] : []);
    }
  }

  private line(fault: Fault): number {
    return this.input.value.slice(0, this.place(fault)).split("\n").length;
  }

  /** Where a field is, or else what it would be in. */
  private place({ field }: Fault): number {
    const names = field.split(".");
    for (let length = names.length; length > 0; length--) {
      const at = this.places.get(names.slice(0, length).join("."));
      if (at !== undefined) return at;
    }
    return 0;
  }
}
