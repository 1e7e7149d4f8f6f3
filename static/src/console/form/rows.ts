// Names with values, as rows: environment variables, labels.

import { el } from "../../dom";
import { at, typed } from "./body";
import { area, type Control, fill, grow, type Input, labelled, line, type Owner } from "./entries";
import type { Fields, Json } from "./json";
import { RowList } from "./rowlist";

interface Row {
  /** Its name. */
  first: HTMLInputElement;
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
  const collect = (input: Input): void => {
    const filled = list.all.filter((row) => row.first.value || row.value.value);
    const fields: Fields = new Map(filled.map((row) => [row.first.value, row.given]));
    owner.edit([field], fields.size ? fields : undefined, input);
  };
  const make = (name: string, given: Json): Row => {
    const row: Row = { first: line("NAME"), value: area(), given, element: el("div", { className: "pair", role: "group" }) };
    row.element.append(labelled(row.first, "Name"), labelled(row.value, "Value"), list.removal(row));
    fill(row.first, name);
    fill(row.value, typed(given));
    row.first.addEventListener("input", () => collect(row.first));
    row.value.addEventListener("input", () => {
      row.given = row.value.value;
      grow(row.value);
      collect(row.value);
    });
    return row;
  };
  const beyond = "It is set to something that rows cannot show. Change it in the JSON.";
  const list: RowList<Row> = new RowList(title, one, beyond, () => make("", ""), collect);

  return {
    fields: [field],
    element: list.element,
    show() {
      const given = at(owner.body, [field]) ?? new Map();
      list.show(given instanceof Map ? [...given].map(([name, value]) => make(name, value)) : null);
    },
    inputOf(fault) {
      if (fault === field) return list.all[0]?.value ?? null;
      if (!fault.startsWith(`${field}.`)) return null;
      const name = fault.slice(field.length + 1);
      const row = list.all.find((other) => shownName(other.first.value) === name || other.first.value === name);
      if (!row) return null;
      return names.test(row.first.value) ? row.value : row.first;
    },
    faults() {
      const seen = new Set<string>();
      return list.all.flatMap(({ first: name }) => {
        const twice = Boolean(name.value) && seen.has(name.value);
        seen.add(name.value);
        return twice ? [[name, `${name.value} appears twice; keep one of them.`] as const] : [];
      });
    },
  };
}
