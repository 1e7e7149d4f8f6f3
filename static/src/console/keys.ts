// The keyboard: the arrows walk through the rows, and ? shows this help.

import { el, the } from "../dom";
import { pages } from "./server";

/** What a key does, in words. */
export type Key = readonly [string, string];

const KEYS: readonly Key[] = [
  ["↓ ↑ or j k", "The next or previous row"],
  ["Enter", "Open it"],
  ["/", "Search"],
  ["r", "Read everything again"],
  ["?", "Show or hide this help"],
];

/** Starts to listen; `reload` reads the page's content again. */
export function listen(reload: () => void): void {
  listenFor(KEYS, (event) => {
    if (event.key === "ArrowDown" || event.key === "j") move(event, 1);
    else if (event.key === "ArrowUp" || event.key === "k") move(event, -1);
    else if (event.key === "r") reload();
    else if (event.key === "/") find(event);
  });
}

/** Shows these keys as help, and passes on those that are pressed outside of fields and dialogs. */
export function listenFor(keys: readonly Key[], onKey: (event: KeyboardEvent) => void): void {
  const dialog = the<HTMLDialogElement>("help");
  const rows = keys.map(([key, words]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, words)));
  const close = el("button", { type: "button" }, "Close");
  close.addEventListener("click", () => dialog.close());
  dialog.append(el("h2", { id: "help-title" }, "Keyboard"), el("dl", {}, ...rows), close);
  const toggle = (): void => (dialog.open ? dialog.close() : dialog.showModal());
  the("help-button").addEventListener("click", toggle);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target)) return;
    if (event.key === "?") toggle();
    else if (!document.querySelector("dialog[open]")) onKey(event);
  });
}

/** Puts the cursor into this page's search; where it has none, goes to the search of the tasks. */
function find(event: KeyboardEvent): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  event.preventDefault();
  if (field) field.focus();
  else location.assign(`${pages.tasks}#search`);
}

const ROWS = "#page tbody tr, #page .timeline li";

const writes = (target: EventTarget | null): boolean =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;

/** Moves the focus by a row; after the last one come the links to the other pages of the list. The arrows scroll as always until a row has
 * the focus. */
function move(event: KeyboardEvent, by: number): void {
  const links = [...document.querySelectorAll<HTMLElement>(ROWS)].flatMap((row) => row.querySelector("a") ?? []);
  links.push(...document.querySelectorAll<HTMLAnchorElement>("#page .pager a"));
  const active = document.activeElement?.closest("tr, li")?.querySelector("a") ?? document.activeElement;
  const at = links.findIndex((link) => link === active);
  if (at < 0 && event.key.startsWith("Arrow")) return;
  const next = links[at < 0 ? 0 : at + by];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
