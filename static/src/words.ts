// Formats times, durations and sizes for people.

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const number = new Intl.NumberFormat();

export const moment = (iso: string): string => clock.format(new Date(iso));
export const count = (value: number): string => number.format(value);

/** Formats the time of day with milliseconds, for a line of a log. */
export function stamp(iso: string): string {
  const date = new Date(iso);
  return `${hours.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Formats the time of day, with the date when it is not today. */
export function short(iso: string): string {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  return today ? hours.format(date) : clock.format(date);
}

/** Shortens a UUID to its last group. Ids begin with the time of their creation: those of jobs posted together differ only at the end. */
export const shortId = (id: string): string => id.slice(id.lastIndexOf("-") + 1);

/** Formats a duration: 340 ms, 4.2 s, 3 m 20 s, 2 h 5 m, 3 d 4 h. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 10_000) return `${(milliseconds / 1_000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} m`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}

/** Formats a size: 512 B, 3.4 MB. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  for (; bytes >= 1_000 && at < units.length - 1; at++) bytes /= 1_000;
  return `${bytes < 10 && at > 0 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}
