// What all pages are made of: sections, tables, problems, empty states.

import { el } from "../dom";

type Content = Node | string | null | undefined | false;

export interface Column<Row> {
  title: string;
  cell(row: Row): Content;
  /** Left out where there is little room. */
  wide?: boolean;
  /** The look of its cells: `grow` takes the rest of the width and cuts what is too long off, `number` is aligned to the right. */
  is?: "grow" | "number";
}

/** A table whose rows keep their element while their key stays. `caption` is for screen readers. */
export function table<Row>(caption: string, columns: readonly Column<Row>[], rows: readonly Row[], key: (row: Row) => string): HTMLElement {
  const look = (column: Column<Row>): string => [column.wide && "wide", column.is].filter(Boolean).join(" ");
  const head = columns.map((column) => el("th", { scope: "col", className: look(column) }, column.title));
  const body = rows.map((row) =>
    el("tr", { "data-key": key(row) }, ...columns.map((column) => el("td", { className: look(column) }, column.cell(row) || ""))),
  );
  return el(
    "table",
    {},
    el("caption", { className: "unseen" }, caption),
    el("thead", {}, el("tr", {}, ...head)),
    el("tbody", {}, ...body),
  );
}

/** A part of a page under a heading. `aside` stands at the end of the heading's line. */
export function section(title: string, aside: Content, ...content: Content[]): HTMLElement {
  const id = `section-${title.toLowerCase().replaceAll(/\W+/g, "-")}`;
  return el(
    "section",
    { "aria-labelledby": id, "data-key": id },
    el("div", { className: "heading" }, el("h2", { id }, title), aside && el("span", { className: "aside" }, aside)),
    ...content,
  );
}

/** Says that there is nothing, and why that is so or what to do. */
export const nothing = (...words: Content[]): HTMLElement => el("p", { className: "nothing" }, ...words);

/** Something that needs attention. */
export const notice = (tone: "info" | "warn" | "bad", ...words: Content[]): HTMLElement =>
  el("div", { className: `notice ${tone}`, "data-key": String(words[0]) }, el("p", {}, ...words));

/** A command to copy. */
export const command = (text: string): HTMLElement =>
  el(
    "div",
    { className: "command" },
    el("pre", { tabIndex: 0, role: "group", "aria-label": "Command" }, el("code", {}, text)),
    el("button", { type: "button", "data-act": "copy", "data-text": text }, "Copy"),
  );

/** A link with a name. */
export const link = (href: string, ...words: Content[]): HTMLAnchorElement => el("a", { href }, ...words);

/** Names with values; those without a value are left out. */
export function facts(rows: readonly (readonly [string, Content | 0 | undefined])[]): HTMLElement {
  const known = rows.filter((row): row is readonly [string, Node | string] => Boolean(row[1]));
  return el("dl", { className: "facts" }, ...known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
