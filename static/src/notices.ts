// The notices above the log. Each has a key; they are in a fixed order, and are redrawn only when their words change.

import { el, the } from "./dom";
import { duration } from "./words";

const ORDER = ["why", "link", "next", "failure", "newer", "kept"] as const;
type Key = (typeof ORDER)[number];

export interface Notice {
  tone: "info" | "warn" | "bad";
  words: string[];
  /** A time in milliseconds; a countdown to it follows the last words. */
  until?: number | null;
  button?: { words: string; act(): void };
}

const shown = new Map<Key, { text: string; element: HTMLElement }>();

export function notice(key: Key, given: Notice | null): void {
  const before = shown.get(key);
  const text = JSON.stringify(given);
  if (before?.text === text || (!before && !given)) return;
  before?.element.remove();
  shown.delete(key);
  if (!given) return;
  const element = draw(given);
  shown.set(key, { text, element });
  const after = ORDER.slice(ORDER.indexOf(key) + 1).find((other) => shown.has(other));
  the("notices").insertBefore(element, after ? shown.get(after)!.element : null);
}

function draw(given: Notice): HTMLElement {
  const { words, until, button } = given;
  const rows = words.map((one, at) => {
    const line = el("p", {}, one);
    if (until && at === words.length - 1) line.append(" ", el("span", { className: "countdown", "data-until": until, "aria-hidden": "true" }));
    return line;
  });
  const knob = button && el("button", { type: "button", onclick: () => button.act() }, button.words);
  const element = el("div", { className: `notice ${given.tone}` }, el("div", {}, ...rows), knob);
  tick(element);
  return element;
}

/** Updates the countdowns; call it every second. */
export function tick(within: ParentNode = document): void {
  for (const place of within.querySelectorAll<HTMLElement>("[data-until]")) {
    const left = Number(place.dataset.until) - Date.now();
    place.textContent = left > 0 ? `in ${duration(Math.ceil(left / 1_000) * 1_000)}` : "now";
  }
}
