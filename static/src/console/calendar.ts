// The calendar: what the schedules will come to, by days, and by the hours of a day, with the due times of that day.

import { el } from "../dom";
import { count, duration } from "../words";
import { asked, choice } from "./filters";
import { jobLink } from "./links";
import { heading } from "./lists";
import type { Page } from "./page";
import { type Column, link, nothing, notice, section, table } from "./parts";
import { api, get, pages, queryOf } from "./server";
import type { Forecast, ForecastHour, PlannedRun } from "./shapes";
import { now } from "./times";

const HOUR = 3_600_000;
const DAY_HOURS = 24;
/** Pieces of a forecast that the page reads: what comes after them is left out. */
const MOST_PIECES = 12;
const MOST_NOTES = 30;
const MOST_COLLISIONS = 5;
const MOST_QUIET = 6;
const DAYS = [
  ["", "7 days"],
  ["14", "14 days"],
  ["31", "31 days"],
] as const;

/** A day or an hour of the calendar. */
interface Row {
  begins: Date;
  due: number;
  skipped: number;
  busiest: { minute: string; due: number } | null;
  /** How many are due in each hour. */
  hours: { begins: Date; due: number; full: boolean }[];
  pools: Map<string, number>;
}

interface Facts {
  pieces: Forecast[];
  /** Whether the forecast goes on after the last piece. */
  more: boolean;
}

export function calendarPage(changed: () => void): Page {
  const { day } = asked();
  return day && !Number.isNaN(Date.parse(`${day}T00:00`)) ? dayPage(new Date(`${day}T00:00`)) : daysPage(changed);
}

function daysPage(changed: () => void): Page {
  return {
    nav: "calendar",
    title: "Calendar",
    events: { kind: "job" },
    tools: [heading("Calendar"), choice("days", "Range", DAYS, changed)],
    async load() {
      const facts = await read({ days: asked().days ?? "7" });
      return () => drawDays(facts);
    },
  };
}

function dayPage(day: Date): Page {
  const next = new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1);
  const before = new Date(day.getFullYear(), day.getMonth(), day.getDate() - 1);
  return {
    nav: "calendar",
    title: dayWords.format(day),
    events: { kind: "job" },
    async load() {
      const from = new Date(Math.max(day.getTime(), now()));
      const range = { from: from.toISOString(), until: next.toISOString() };
      const [facts, runs] = from < next ? await Promise.all([read(range), get<Runs>(api.plannedRuns(range))]) : [null, null];
      return () => [
        el("h1", { "data-key": "title" }, dayWords.format(day)),
        el(
          "p",
          { className: "muted", "data-key": "ways" },
          link(pages.calendar({}), "All days"),
          before.getTime() + 24 * HOUR > now() && " · ",
          before.getTime() + 24 * HOUR > now() && link(pages.calendar({ day: dateOf(before) }), "The day before"),
          " · ",
          link(pages.calendar({ day: dateOf(next) }), "The next day"),
        ),
        ...(facts && runs ? drawDay(facts, runs) : [nothing("This day is over.")]),
      ];
    },
  };
}

interface Runs {
  items: PlannedRun[];
  nextUrl: string | null;
}

/** The pieces of a forecast, one after the other. */
async function read(range: Record<string, string>): Promise<Facts> {
  const pieces: Forecast[] = [];
  let query: Record<string, string> | null = range;
  while (query && pieces.length < MOST_PIECES) {
    const piece: Forecast = await get<Forecast>(api.forecast(query));
    pieces.push(piece);
    query = queryOf(piece.nextUrl);
  }
  return { pieces, more: query !== null };
}

function drawDays(facts: Facts): HTMLElement[] {
  const { pieces } = facts;
  const hours = pieces.flatMap((piece) => piece.hours);
  const days = rowsOf(hours, pieces[0]!, (begins) => dateOf(begins));
  const most = Math.max(1, ...days.flatMap((day) => day.hours.map((hour) => hour.due)));
  const columns: Column<Row>[] = [
    { title: "Day, by the hour", is: "grow", cell: (day) => el("div", {}, link(pages.calendar({ day: dateOf(day.begins) }), shortDay.format(day.begins)), bars(day, most), el("div", { className: "narrow" }, ...peaks(day, pieces[0]!))) },
    ...figures(pieces[0]!, "day"),
  ];
  if (!pieces[0]!.jobs) return [nothing("No job has a time to come. ", link(pages.newJob(), "Schedule one"), ".")];
  return [
    ...left(facts),
    section("What will be due", null, table("Days", columns, days, (day) => dateOf(day.begins))),
    ...insights(facts),
  ];
}

function drawDay(facts: Facts, runs: Runs): HTMLElement[] {
  const first = facts.pieces[0]!;
  const rows = rowsOf(facts.pieces.flatMap((piece) => piece.hours), first, (begins) => begins.toISOString());
  const columns: Column<Row>[] = [{ title: "Hour", is: "grow", cell: (row) => clock.format(row.begins) }, ...figures(first, "hour")];
  const listed: Column<PlannedRun>[] = [
    { title: "Due", cell: (run) => exact.format(new Date(run.due)) },
    { title: "Job", is: "grow", cell: (run) => el("div", {}, jobLink(run.taskId, run.jobId, run.name), run.skipped !== null && el("div", { className: "reason" }, `Skipped: ${run.skipped}`)) },
    { title: "Pool", wide: true, cell: (run) => el("bdi", {}, run.pool) },
    { title: "Usually takes", is: "number", cell: (run) => (run.usualDuration === null ? "" : duration(run.usualDuration * 1_000)) },
  ];
  const list = runs.items.length ? table("Due times", listed, runs.items, (run) => `${run.due} ${run.jobId}`) : nothing("Nothing is due.");
  return [
    ...left(facts),
    section("By the hour", null, table("Hours", columns, rows.filter((row) => row.due || row.skipped || row.pools.size), (row) => row.begins.toISOString())),
    section("Due times", null, list, runs.nextUrl !== null && nothing(`These are the first ${count(runs.items.length)}. All: `, el("code", {}, "fastlane forecast --runs -n 100000"))),
    ...insights(facts),
  ];
}

/** What each row says after its name: how many are due, the fullest minute, and each pool's most at once beside what it takes. */
function figures(first: Forecast, each: string): Column<Row>[] {
  return [
    { title: "Due", is: "number", cell: (row) => el("span", {}, count(row.due), row.skipped > 0 && el("small", {}, ` ${count(row.skipped)} skipped`)) },
    { title: "Fullest minute", wide: true, is: "number", cell: (row) => row.busiest && `${clock.format(new Date(row.busiest.minute))}: ${count(row.busiest.due)}` },
    { title: "Most at once", wide: true, is: "number", cell: (row) => el("span", { title: `The most that run at once in each pool in this ${each}` }, ...peaks(row, first)) },
  ];
}

/** The most that run at once in each pool, beside what it takes. */
function peaks(row: Row, first: Forecast): HTMLElement[] {
  const named = Object.keys(first.pools).length > 1;
  return [...row.pools].map(([pool, found]) => {
    const most = first.pools[pool]?.maxRunning ?? Infinity;
    return el("span", { className: "peak" }, named && el("bdi", {}, `${pool} `), `${count(found)} of ${count(most)}`, found > most && " ", found > most && el("span", { className: "tag" }, "full"));
  });
}

/** A bar for each hour of a day, as high as it has due times. */
function bars(day: Row, most: number): HTMLElement {
  const made = day.hours.map((hour) => {
    const line = el("i", { className: hour.full ? "full" : "due" });
    line.style.height = `${hour.due ? Math.max(6, Math.round((hour.due / most) * 100)) : 0}%`;
    return el("span", { title: `${clock.format(hour.begins)}: ${count(hour.due)} due${hour.full ? ", more than its pool runs at once" : ""}` }, line);
  });
  const before = day.hours[0]!.begins.getHours();
  const none = (hours: number): HTMLElement[] => Array.from({ length: Math.max(0, hours) }, () => el("span", {}));
  const words = `${count(day.due)} due, in ${count(day.hours.filter((hour) => hour.due).length)} hours`;
  return el("div", { className: "hours", role: "img", "aria-label": words }, ...none(before), ...made, ...none(DAY_HOURS - before - made.length));
}

/** The hours as rows, of which each has those with the same name. */
function rowsOf(hours: readonly ForecastHour[], first: Forecast, name: (begins: Date) => string): Row[] {
  const rows = new Map<string, Row>();
  for (const hour of hours) {
    const begins = new Date(hour.hour);
    const row = rows.get(name(begins)) ?? { begins, due: 0, skipped: 0, busiest: null, hours: [], pools: new Map<string, number>() };
    rows.set(name(begins), row);
    row.due += hour.due;
    row.skipped += hour.skipped;
    if (hour.busiestMinute && hour.busiestDue > (row.busiest?.due ?? 0)) row.busiest = { minute: hour.busiestMinute, due: hour.busiestDue };
    let full = false;
    for (const [pool, found] of Object.entries(hour.pools)) {
      row.pools.set(pool, Math.max(row.pools.get(pool) ?? 0, found.peak));
      full ||= found.peak > (first.pools[pool]?.maxRunning ?? Infinity);
    }
    row.hours.push({ begins, due: hour.due, full });
  }
  return [...rows.values()];
}

function left({ pieces, more }: Facts): HTMLElement[] {
  const found: HTMLElement[] = [];
  if (pieces[0]!.atLeast) found.push(notice("warn", "There are more jobs than a forecast looks at, so all numbers are at least these."));
  if (more) found.push(notice("warn", `This ends on ${dayWords.format(new Date(pieces.at(-1)!.to))}, since much is due before that. All of it: `, el("code", {}, "fastlane forecast --days 31")));
  return found;
}

/** What to look at: single jobs, minutes in which many are due, and minutes for new jobs. */
function insights({ pieces }: Facts): HTMLElement[] {
  const notes = [...new Map(pieces.flatMap((piece) => piece.notes).map((note) => [`${note.kind} ${note.jobId} ${note.text}`, note])).values()];
  const rows = notes.slice(0, MOST_NOTES).map((note) => el("li", { "data-key": `${note.kind} ${note.jobId} ${note.text}` }, jobLink(note.taskId, note.jobId, note.name), el("span", { className: "reason" }, note.text)));
  const collisions = pieces.flatMap((piece) => piece.collisions).sort((one, other) => other.due - one.due || one.minute.localeCompare(other.minute));
  const together = collisions.slice(0, MOST_COLLISIONS).map((one) =>
    el("li", { "data-key": one.minute }, `${exact.format(new Date(one.minute))}, ${shortDay.format(new Date(one.minute))}: ${count(one.due)} due, such as `, ...one.jobs.slice(0, 2).flatMap((job, at) => [at > 0 && " and ", jobLink(job.taskId, job.jobId, job.name)])),
  );
  const minutes = Array.from({ length: 60 }, (_, minute) => pieces.reduce((all, piece) => all + piece.dueByMinute[minute]!, 0));
  const quiet = minutes.map((due, minute) => [due, minute] as const).sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  const named = quiet.slice(0, MOST_QUIET).map(([, minute]) => minute).sort((one, other) => one - other);
  return [
    ...(rows.length ? [section("Jobs to look at", notes.length > rows.length ? `The first ${count(rows.length)} of ${count(notes.length)}` : null, el("ul", { className: "notes" }, ...rows))] : []),
    ...(together.length ? [section("Most in one minute", null, el("ul", { className: "notes" }, ...together))] : []),
    ...(minutes.some(Boolean)
      ? [section("Quiet minutes", null, el("p", { className: "nothing" }, "For a new job, these minutes of the hour have the fewest due times: ", el("b", {}, named.map((minute) => `:${String(minute).padStart(2, "0")}`).join(" ")), ". Or let ", el("code", {}, "H"), " choose one."))]
      : []),
  ];
}

const dateOf = (day: Date): string => [day.getFullYear(), day.getMonth() + 1, day.getDate()].map((part) => String(part).padStart(2, "0")).join("-");

const dayWords = new Intl.DateTimeFormat(undefined, { weekday: "long", year: "numeric", month: "long", day: "numeric" });
const shortDay = new Intl.DateTimeFormat(undefined, { weekday: "short", month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const exact = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" });
