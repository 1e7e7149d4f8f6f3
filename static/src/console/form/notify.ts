// The receivers of messages about the job: addresses of mail, and webhooks.

import { el } from "../../dom";
import { at } from "./body";
import { area, type Control, fill, grow, type Input, labelled, line, type Owner } from "./entries";
import type { Fields, Json } from "./json";
import { RowList } from "./rowlist";

const TRIGGERS = [
  ["fails", "fails, times out or expires"],
  ["succeeds", "is done"],
  ["finishes", "ends, however it does"],
  ["late", "is late"],
  ["recovered", "succeeds after it was late"],
  ["fixed", "succeeds for the first time after a failure"],
  ["started", "starts"],
] as const;

/** The texts of a list; null if it is none of texts, or has what a line cannot show. */
function texts(value: Json | undefined): string[] | null {
  if (value === undefined) return [];
  return Array.isArray(value) && value.every((one): one is string => typeof one === "string" && !/[,\s]/.test(one)) ? value : null;
}

/** A line for each list of addresses, which commas or spaces separate. */
export function mailControls(owner: Owner): Control[] {
  return TRIGGERS.map(([trigger, words]) => {
    const input = line("team@example.com");
    const path = ["notify", trigger];
    input.addEventListener("input", () => {
      const given = input.value.split(/[,\s]+/).filter(Boolean);
      owner.edit(path, given.length ? given : undefined, input);
    });
    return {
      fields: [path.join(".")],
      element: labelled(input, `When it ${words}`),
      show: () => fill(input, texts(at(owner.body, path))?.join(", ") ?? null),
      inputOf: (field) => (field === "notify" || field === `notify.${trigger}` || field.startsWith(`notify.${trigger}.`) ? shownOf(input, field) : null),
    };
  });
}

/** The input, but for a fault of all addresses only when it has one. */
const shownOf = (input: HTMLInputElement, field: string): HTMLInputElement | null => (field === "notify" && !input.value ? null : input);

interface Row {
  when: HTMLSelectElement;
  /** Its URL. */
  first: HTMLInputElement;
  headers: HTMLTextAreaElement;
  /** The parts that have no field here, and the headers until they are changed here. */
  rest: Fields;
  element: HTMLElement;
}

const isText = (value: Json | undefined): value is string | undefined => value === undefined || typeof value === "string";

/** Headers as lines, `Name: value`; null when they cannot be shown so. */
function lines(value: Json | undefined): string | null {
  if (value === undefined) return "";
  if (!(value instanceof Map)) return null;
  const all = [...value].map(([name, one]) => (typeof one === "string" && !/[\r\n]/.test(one) ? `${name}: ${one}` : null));
  return all.includes(null) ? null : all.join("\n");
}

/** The headers of lines. A line without a colon is a name without a value, about which the server says more. */
function headersOf(text: string): Fields | undefined {
  const all = text.split("\n").filter((one) => one.trim());
  const found = all.map((one): [string, Json] => {
    const [, name, value] = /^([^:]*):?(.*)$/.exec(one)!;
    return [name!.trim(), value!.trim()];
  });
  return found.length ? new Map(found) : undefined;
}

/** Whether rows can show the webhooks of a body. */
function canShow(value: Json | undefined): boolean {
  if (value === undefined) return true;
  if (!(value instanceof Map)) return false;
  const lists = [...value];
  return lists.every(
    ([name, list]) =>
      TRIGGERS.some(([trigger]) => trigger === name) &&
      Array.isArray(list) &&
      list.every((one) => one instanceof Map && isText(one.get("url")) && lines(one.get("headers")) !== null),
  );
}

export function webhooksControl(owner: Owner): Control {
  const collect = (input: Input): void => {
    const lists: Fields = new Map();
    for (const row of list.all.filter(({ first, headers, rest }) => first.value || headers.value || rest.size)) {
      const before = lists.get(row.when.value);
      const one: Fields = new Map([["url", row.first.value] as [string, Json], ...row.rest]);
      lists.set(row.when.value, [...(Array.isArray(before) ? before : []), one]);
    }
    owner.edit(["webhooks"], lists.size ? lists : undefined, input);
  };
  const make = (trigger: string, given: Fields): Row => {
    const when = el("select", {}, ...TRIGGERS.map(([value, words]) => el("option", { value, selected: value === trigger }, `it ${words}`)));
    const row: Row = {
      when,
      first: line("https://example.com/hook"),
      headers: area(),
      rest: new Map([...given].filter(([name]) => name !== "url")),
      element: el("div", { className: "webhook", role: "group" }),
    };
    row.element.append(
      labelled(when, "When"),
      labelled(row.first, "URL"),
      list.removal(row),
      labelled(row.headers, "Headers", "One a line, such as Authorization: Bearer …"),
    );
    fill(row.first, String(given.get("url") ?? ""));
    fill(row.headers, lines(given.get("headers")));
    when.addEventListener("change", () => collect(when));
    row.first.addEventListener("input", () => collect(row.first));
    row.headers.addEventListener("input", () => {
      const headers = headersOf(row.headers.value);
      if (headers) row.rest.set("headers", headers);
      else row.rest.delete("headers");
      grow(row.headers);
      collect(row.headers);
    });
    return row;
  };
  const beyond = "They are set to something that rows cannot show. Change them in the JSON.";
  const list: RowList<Row> = new RowList("Webhooks", "webhook", beyond, () => make("fails", new Map()), collect);

  return {
    fields: ["webhooks"],
    element: list.element,
    show() {
      const given = at(owner.body, ["webhooks"]);
      const lists = given instanceof Map ? given : new Map<string, Json>();
      const rows = (): Row[] => TRIGGERS.flatMap(([trigger]) => ((lists.get(trigger) ?? []) as Fields[]).map((one) => make(trigger, one)));
      list.show(canShow(given) ? rows() : null);
    },
    inputOf(field) {
      const [name, trigger, place, part] = field.split(".");
      if (name !== "webhooks" || !list.all.length) return null;
      const row = list.all.filter(({ when }) => when.value === trigger)[Number(place)];
      if (!row) return trigger === undefined ? list.all[0]!.first : null;
      return part === "headers" ? row.headers : row.first;
    },
  };
}
