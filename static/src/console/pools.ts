// The pools as bars: what runs, what is free, and what waits beyond that.

import { el } from "../dom";
import { count } from "../words";
import type { Lane } from "./shapes";

/** The part of a bar that waiting executions take at most. */
const MOST_WAITING = 0.35;

export function poolBars(lanes: Record<string, Lane>): HTMLElement {
  const rows = Object.entries(lanes).map(([name, lane]) => {
    const waiting = lane.ready + lane.blocked;
    const free = Math.max(0, lane.maxRunning - lane.running);
    const words = [`${count(lane.running)} running`, `${count(free)} free`, waiting ? `${count(waiting)} waiting` : null].filter(Boolean).join(" · ");
    return el(
      "li",
      { "data-key": name },
      el("span", { className: "name" }, el("bdi", {}, name), lane.paused ? el("span", { className: "tag" }, "paused") : null),
      el("span", { className: "detail" }, words),
      bar(lane.running, free, waiting),
    );
  });
  return el("ul", { className: "pools" }, ...rows);
}

/** Running and free fill the bar by their share; what waits stands at its end, on up to a third of it. */
export function bar(running: number, free: number, waiting: number): HTMLElement {
  const slots = Math.max(1, running + free);
  const beyond = waiting ? MOST_WAITING * (waiting / (waiting + slots)) + 0.05 : 0;
  const part = (name: string, share: number): HTMLElement => {
    const made = el("i", { className: name });
    made.style.flexGrow = String(Math.round(share * 10_000) / 10_000);
    return made;
  };
  const parts = [
    running ? part("running", (running / slots) * (1 - beyond)) : null,
    free ? part("free", (free / slots) * (1 - beyond)) : null,
    waiting ? part("waiting", beyond) : null,
  ];
  return el("span", { className: "capacity", "aria-hidden": "true" }, ...parts);
}
