// How executions ended over the last day, as a bar for each hour, and how late they had started.

import { el } from "../dom";
import { count, duration } from "../words";
import { section } from "./parts";
import type { History, HistoryHour } from "./shapes";

/** What went wrong in an hour. */
export const wrongIn = (hour: HistoryHour): number => hour.failed + hour.timedout + hour.expired;

export const sum = (hours: readonly HistoryHour[], of: (hour: HistoryHour) => number): number => hours.reduce((all, hour) => all + of(hour), 0);

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export function day(history: History): HTMLElement {
  const { hours } = history;
  const most = Math.max(1, ...hours.map((hour) => hour.done + hour.stopped + wrongIn(hour)));
  const words = `Of the last 24 hours, an hour each: ${count(sum(hours, (hour) => hour.done))} done, ${count(sum(hours, wrongIn))} failed`;
  const bars = hours.map((hour) => bar(hour, most));
  return section(
    "Last 24 hours",
    lateness(hours),
    el("div", { className: "day", role: "img", "aria-label": words }, ...bars),
    el("p", { className: "axis", "aria-hidden": "true" }, ...[0, 6, 12, 18].map((at) => el("span", {}, at < hours.length ? clock.format(new Date(hours[at]!.hour)) : "")), el("span", {}, "now")),
  );
}

function bar(hour: HistoryHour, most: number): HTMLElement {
  const wrong = wrongIn(hour);
  const parts = [
    [hour.done, "done"],
    [hour.stopped, "stopped"],
    [wrong, "failed"],
  ] as const;
  const words = parts.filter(([value]) => value).map(([value, name]) => `${count(value)} ${name}`);
  const from = new Date(hour.hour);
  const title = `${clock.format(from)} to ${clock.format(new Date(from.getTime() + 3_600_000))}: ${words.join(", ") || "nothing ended"}`;
  const pieces = parts.map(([value, name]) => {
    const piece = el("i", { className: name });
    piece.style.height = `${Math.round((value / most) * 1_000) / 10}%`;
    return piece;
  });
  return el("span", { title }, ...pieces.reverse());
}

/** How late containers started after they were due. */
function lateness(hours: readonly HistoryHour[]): string | null {
  const started = sum(hours, (hour) => hour.lateness.started);
  if (!started) return null;
  const all = sum(hours, (hour) => (hour.lateness.meanMs ?? 0) * hour.lateness.started);
  const most = Math.max(...hours.map((hour) => hour.lateness.maxMs));
  return `Started ${duration(all / started)} late on average, ${duration(most)} at most`;
}
