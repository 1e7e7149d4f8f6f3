// Times that stay right while the page is open: how long ago, how long still, how long so far. The exact moment is in the title.

import { type Execution, FINAL } from "../api";
import { el } from "../dom";
import { running } from "../outcome";
import { duration, moment } from "../words";

/** Milliseconds by which this machine's clock may differ from the server's before the difference counts. */
const TOLERANCE = 3_000;

let skew = 0;

/** Takes what the server's clock shows now, in milliseconds. Durations that follow are by that clock. */
export function setClock(server: number): void {
  const difference = server - Date.now();
  skew = Math.abs(difference) > TOLERANCE ? difference : 0;
}

/** The server's time, in milliseconds. */
export const now = (): number => Date.now() + skew;

type Manner = "ago" | "until" | "for";

/** How long ago a moment was, as `3 m ago`; or how far ahead it is, as `in 3 m 20 s`. */
export const ago = (iso: string): HTMLTimeElement => time(iso, "ago");
export const until = (iso: string): HTMLTimeElement => time(iso, "until");
/** How long something has gone on that began at a moment, as `3 m 20 s`. */
export const lasting = (iso: string): HTMLTimeElement => time(iso, "for");

/** How long an execution ran, or has run so far; empty before its start. */
export function ran(one: Execution): Node | string {
  const time = running(one);
  if (time === null) return "";
  return FINAL.has(one.status) ? duration(time) : lasting(one.startedAt!);
}

function time(iso: string, manner: Manner): HTMLTimeElement {
  const at = Date.parse(iso);
  return el("time", { dateTime: iso, title: moment(iso), "data-manner": manner }, words(at, manner));
}

function words(at: number, manner: Manner): string {
  const passed = now() - at;
  if (manner === "for") return duration(Math.max(0, Math.floor(passed / 1_000) * 1_000));
  if (passed < 0) return `in ${duration(Math.ceil(-passed / 1_000) * 1_000)}`;
  if (manner === "until") return "now";
  const far = coarse(passed);
  return far ? `${far} ago` : "just now";
}

/** The largest unit of a duration alone: 40 s, 3 m, 2 h, 5 d. Empty below a second. */
function coarse(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1_000);
  for (const [unit, length] of UNITS) if (seconds >= length) return `${Math.floor(seconds / length)}\u00a0${unit}`;
  return "";
}

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
] as const;

/** Updates all times of the page; call it every second. */
export function tickTimes(): void {
  for (const one of document.querySelectorAll<HTMLTimeElement>("time[data-manner]")) {
    const text = words(Date.parse(one.dateTime), one.dataset.manner as Manner);
    if (one.textContent !== text) one.textContent = text;
  }
}
