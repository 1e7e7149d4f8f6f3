// The notices above the log. Each has a key; they are in a fixed order, and are redrawn only when their words change.

import { el, the } from "../dom";
import { until } from "../words";

const ORDER = ["why", "link", "next", "failure", "newer", "kept", "line", "search"] as const;
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
  const { words, until: moment, button } = given;
  const rows = words.map((one, at) => {
    const line = el("p", {}, one);
    if (moment && at === words.length - 1) line.append(" ", el("span", { className: "countdown", "data-until": moment, "aria-hidden": "true" }));
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
    place.textContent = until(Number(place.dataset.until));
  }
}
