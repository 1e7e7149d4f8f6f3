// Names with values, as rows: environment variables, labels.

import { el, say } from "../../dom";
import { at, typed } from "./body";
import { area, type Control, fill, grow, type Input, labelled, line, type Owner } from "./entries";
import type { Fields, Json } from "./json";

interface Row {
  name: HTMLInputElement;
  value: HTMLTextAreaElement;
  /** What the body has, until it is changed here. */
  given: Json;
  element: HTMLElement;
}

/** The characters of a name by which the server names it. */
const SHOWN = 80;
const shownName = (name: string): string => Array.from(name).slice(0, SHOWN).join("") || "(empty)";

/** An object of texts. `one`: what a row is, such as a variable; `names`: those that are no fault by themselves. */
export function rows(owner: Owner, field: string, title: string, one: string, names: RegExp): Control {
  let all: Row[] = [];
  const list = el("div", { className: "rows" });
  const add = el("button", { type: "button" }, `Add a ${one}`);
  const beyond = el("p", { className: "hint", hidden: true }, "It is set to something that rows cannot show. Change it in the JSON.");

  const collect = (input: Input): void => {
    const filled = all.filter((row) => row.name.value || row.value.value);
    const fields: Fields = new Map(filled.map((row) => [row.name.value, row.given]));
    owner.edit([field], fields.size ? fields : undefined, input);
  };
  const make = (name: string, given: Json): Row => {
    const row: Row = { name: line("NAME"), value: area(), given, element: el("div", { className: "pair", role: "group" }) };
    const remove = el("button", { type: "button", className: "quiet", "aria-label": "Remove" }, "×");
    row.element.append(labelled(row.name, "Name"), labelled(row.value, "Value"), remove);
    fill(row.name, name);
    fill(row.value, typed(given));
    row.name.addEventListener("input", () => collect(row.name));
    row.value.addEventListener("input", () => {
      row.given = row.value.value;
      grow(row.value);
      collect(row.value);
    });
    remove.addEventListener("click", () => {
      all = all.filter((other) => other !== row);
      row.element.remove();
      number();
      add.focus();
      say("Removed");
      collect(row.name);
    });
    return row;
  };
  const number = (): void => all.forEach((row, index) => row.element.setAttribute("aria-label", `${one} ${index + 1}`));

  add.addEventListener("click", () => {
    const row = make("", "");
    all.push(row);
    list.append(row.element);
    number();
    row.name.focus();
  });
  return {
    element: el("fieldset", {}, el("legend", {}, title), list, beyond, add),
    show() {
      const given = at(owner.body, [field]) ?? new Map();
      const can = given instanceof Map;
      beyond.hidden = can;
      add.disabled = !can;
      all = can ? [...given].map(([name, value]) => make(name, value)) : [];
      list.replaceChildren(...all.map((row) => row.element));
      number();
    },
    inputOf(fault) {
      if (fault === field) return all[0]?.value ?? null;
      if (!fault.startsWith(`${field}.`)) return null;
      const name = fault.slice(field.length + 1);
      const row = all.find((other) => shownName(other.name.value) === name || other.name.value === name);
      if (!row) return null;
      return names.test(row.name.value) ? row.value : row.name;
    },
    faults() {
      const seen = new Set<string>();
      return all.flatMap(({ name }) => {
        const twice = Boolean(name.value) && seen.has(name.value);
        seen.add(name.value);
        return twice ? [[name, `${name.value} appears twice; keep one of them.`] as const] : [];
      });
    },
  };
}
