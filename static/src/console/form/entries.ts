// The fields of the form: each is a view of a part of the body.

import { el } from "../../dom";
import { isolated } from "../../words";
import { at, type Fault, typed } from "./body";
import { type Fields, type Json, Num } from "./json";

export type Input = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** What the fields belong to. */
export interface Owner {
  readonly body: Fields;
  /** Puts a value into the body, undefined to remove it. `input`: where it was typed. */
  edit(path: readonly string[], value: Json | undefined, input: Input): void;
}

/** A part of the form. */
export interface Control {
  /** The names of the fields that it shows, "resources.memory" for a part of one. */
  readonly fields: readonly string[];
  readonly element: HTMLElement;
  /** Shows what the body has. */
  show(): void;
  /** Where a fault of this field is shown; null if it is not shown here. */
  inputOf(field: string): Input | null;
  /** What is wrong with it that the body cannot say. */
  faults?(): readonly (readonly [Input, string])[];
}

const BEYOND = "It is set to something that this field cannot show. Change it in the JSON.";
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;

let made = 0;

/** An input with its label, a hint, and the place of its faults. */
export function labelled(input: Input, label: string, hint = ""): HTMLElement {
  const id = `entry-${++made}`;
  Object.assign(input, { id });
  input.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
  return el(
    "div",
    { className: "entry" },
    el("label", { htmlFor: id }, label),
    input,
    el("p", { className: "hint", id: `${id}-hint` }, hint),
    el("p", { className: "fault", id: `${id}-fault` }),
  );
}

/** Shows the faults of an input beside it; none removes them. */
export function showFaults(input: Input, faults: readonly Fault[]): void {
  const place = document.getElementById(`${input.id}-fault`);
  if (!place) return;
  const words = faults.map((fault) => isolated(ownWords(input, fault))).join("\n");
  if (place.textContent !== words) place.textContent = words;
  if (words) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** A fault in the words of the field: by its label, or by the name that a row has. */
function ownWords(input: Input, { field, message }: Fault): string {
  if (!field) return message;
  const label = input.labels?.[0]?.textContent ?? field;
  const row = input.closest(".pair:not(.one)") && field.includes(".") ? field.slice(field.indexOf(".") + 1) : null;
  return `${row || label} ${message}${/[.!?]$/.test(message) ? "" : "."}`;
}

/** Puts a text into an input. An input that cannot hold it is left to the JSON. */
export function fill(input: Input, text: string | null): void {
  input.value = text ?? "";
  const beyond = input.value !== (text ?? null);
  input.disabled = beyond;
  const hint = input.parentElement?.querySelector<HTMLElement>(".hint");
  if (hint) {
    hint.dataset.words ??= hint.textContent ?? "";
    hint.textContent = beyond ? BEYOND : hint.dataset.words;
  }
  grow(input);
}

/** Makes a field of several lines as high as its text. */
export function grow(input: Input): void {
  if (input instanceof HTMLTextAreaElement) input.rows = Math.min(12, Math.max(1, input.value.split("\n").length));
}

/** A field of several lines that begins with one. `code`: for programs, not for people. */
export const area = (): HTMLTextAreaElement =>
  el("textarea", { rows: 1, className: "code", spellcheck: false, autocomplete: "off", autocapitalize: "off" });

/** A field of one line. */
export const line = (placeholder = ""): HTMLInputElement =>
  el("input", { type: "text", className: "code", placeholder, spellcheck: false, autocomplete: "off", autocapitalize: "off" });

export interface EntryOptions {
  hint?: string;
  placeholder?: string;
  /** A number stays one. Anything else is text, about which the server says more. */
  number?: boolean;
  /** An empty field is an empty text, and not one that is left out. */
  keep?: boolean;
}

/** A field of the body as a line to type. */
export function entry(owner: Owner, path: readonly string[], label: string, options: EntryOptions = {}): Control {
  const input = line(options.placeholder);
  input.addEventListener("input", () => {
    const text = input.value;
    const value = options.number && NUMBER.test(text.trim()) ? new Num(text.trim()) : text;
    owner.edit(path, text || options.keep ? value : undefined, input);
  });
  return {
    fields: [path.join(".")],
    element: labelled(input, label, options.hint),
    show: () => fill(input, typed(at(owner.body, path))),
    inputOf: (field) => (field === path.join(".") ? input : null),
  };
}

/** A field of the body as a choice between values, each with its words. */
export function choice(owner: Owner, path: readonly string[], label: string, values: readonly (readonly [string, string])[]): Control {
  const input = el("select", {}, ...values.map(([value, words]) => el("option", { value }, words)));
  input.addEventListener("change", () => owner.edit(path, input.value || undefined, input));
  return {
    fields: [path.join(".")],
    element: labelled(input, label),
    show: () => fill(input, typed(at(owner.body, path))),
    inputOf: (field) => (field === path.join(".") ? input : null),
  };
}
