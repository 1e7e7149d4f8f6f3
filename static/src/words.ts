// Formats times, durations, sizes and names for people.

const clock = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
  timeZoneName: "short",
});
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const number = new Intl.NumberFormat();

/** Formats a moment, with the zone: the one format of every time on the page, but for those beside lines. */
export const moment = (iso: string): string => clock.format(new Date(iso));

/** The zone of all times on the page, such as UTC or GMT+1. */
export const zone = (): string => clock.formatToParts().find((part) => part.type === "timeZoneName")?.value ?? "";

export const count = (value: number): string => number.format(value);

/** Formats the time of day with milliseconds, for a line of a log. */
export function stamp(iso: string): string {
  const date = new Date(iso);
  return `${hours.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Shortens a UUID to its last 8 characters. Ids begin with the time of their creation: the ids of jobs posted together differ only at the end. */
export const shortId = (id: string): string => id.slice(-8);

/** Formats a duration: 340 ms, 4 s, 4.2 s, 3 m 20 s, 2 h 5 m, 3 d 4 h. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 10_000) return `${(milliseconds / 1_000).toFixed(1).replace(".0", "")} s`;
  const seconds = Math.round(milliseconds / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return both(seconds, 60, "m", "s");
  if (seconds < 86_400) return both(Math.floor(seconds / 60), 60, "h", "m");
  return both(Math.floor(seconds / 3_600), 24, "d", "h");
}

/** The time left until a moment in milliseconds: in 4 s, or now. */
export function until(moment: number): string {
  const left = moment - Date.now();
  return left > 0 ? `in ${duration(Math.ceil(left / 1_000) * 1_000)}` : "now";
}

function both(smaller: number, each: number, large: string, small: string): string {
  const rest = smaller % each;
  return `${Math.floor(smaller / each)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

/** Formats a size: 512 B, 3.4 MB. */
export const size = (bytes: number): string => scaled(bytes, 1_000, ["B", "kB", "MB", "GB"]);

/** Formats an amount of memory, in the units in which a limit is given ("512m"): 512 MiB, 1.5 GiB. */
export const memory = (bytes: number): string => scaled(bytes, 1_024, ["B", "KiB", "MiB", "GiB"]);

function scaled(amount: number, each: number, units: string[]): string {
  let at = 0;
  for (; amount >= each && at < units.length - 1; at++) amount /= each;
  return `${amount < 10 && at > 0 ? amount.toFixed(1).replace(".0", "") : Math.round(amount)} ${units[at]}`;
}

const BIDI_CONTROL = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** A name for plain text, such as a title, where no element keeps it apart: it cannot change the order of the words around it. */
export function isolated(name: string): string {
  const shown = name.replaceAll(BIDI_CONTROL, (control) => `[U+${control.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
  return RIGHT_TO_LEFT.test(shown) ? `\u2068${shown}\u2069` : shown;
}

/** The server's words as a sentence, with times in this browser's zone and format. */
export function sentence(words: string): string {
  const local = isolated(words.trim().replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, moment)).replace(/\.$/, "");
  return `${local.charAt(0).toUpperCase()}${local.slice(1)}.`;
}
