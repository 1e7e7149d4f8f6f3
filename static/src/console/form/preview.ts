// What the job would be: the server is asked while it is typed, and its answer is shown.

import { afterWords } from "../chain";
import { el } from "../../dom";
import { count, memory, moment } from "../../words";
import { facts, nothing } from "../parts";
import { nextRuns } from "../runs";
import { exchange, Refusal } from "../server";
import type { ForecastImpact, Resources, Schedule } from "../shapes";
import { type Fault, masked } from "./body";
import { compact, type Fields } from "./json";
import { SCHEDULE_FIELDS } from "./schedule";
import type { Target } from "./target";

export interface Preview {
  schedule: Schedule;
  pool: string;
  resources: Resources | null;
  hosts: { host: string; usable: boolean; reason: string | null }[];
  nextRuns: string[];
  dueThen?: { minute: string; otherJobs: number; atLeast?: boolean };
  forecast?: ForecastImpact;
}

/** `preview` is made from the fields without faults, null if they say too little; `refusal` is what is wrong apart from fields. */
export interface Judgement {
  preview: Preview | null;
  faults: readonly Fault[];
  refusal: Refusal | null;
}

const STAND_IN = "ubuntu";

/** Asks what the job would be. When fields are wrong, the preview is of the others. */
export async function judge(target: Target, task: string, body: Fields): Promise<Judgement> {
  const content = target.content(body);
  const sent = without(content, masked(content));
  try {
    return { preview: await preview(target, task, sent), faults: [], refusal: null };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { faults } = error;
    if (!faults.length) return { preview: null, faults: [], refusal: error };
    return { preview: await ofTheRest(target, task, sent, faults), faults, refusal: null };
  }
}

async function ofTheRest(target: Target, task: string, sent: Fields, faults: readonly Fault[]): Promise<Preview | null> {
  const names = faults.map(({ field }) => field.split(".")[0]!);
  if (names.some((name) => SCHEDULE_FIELDS.includes(name) || !sent.has(name) && name !== "image")) return null;
  const rest = without(sent, names);
  if (target.method === "POST" && !rest.has("image") && !rest.has("service")) rest.set("image", STAND_IN);
  return preview(target, task, rest).catch((error: unknown) => {
    if (error instanceof Refusal) return null;
    throw error;
  });
}

const preview = async (target: Target, task: string, body: Fields, more: Record<string, string> = {}): Promise<Preview> =>
  JSON.parse(await exchange(target.method, target.url(task, { dryRun: "1", ...more }), compact(body), target.headers)) as Preview;

const without = (body: Fields, paths: readonly string[]): Fields => {
  const left = new Set(paths.map((path) => path.split(".")[0]));
  return new Map([...body].filter(([name]) => !left.has(name)));
};

/** What becomes of the start of a job: it begins when the job is created, or when a change of its schedule is saved; or it is kept. */
export type StartOf = "created" | "saved" | "kept";

/** When it runs: its schedule in words, and the next runs. */
export function whenWords(preview: Preview, start: StartOf): string {
  const { kind, description, timezone, entries } = preview.schedule;
  if (kind === "now") return start === "kept" ? "Once, when it was posted. A change does not run it again." : `It runs as soon as it is ${start}.`;
  if (preview.schedule.after) return afterWords(preview.schedule);
  if (kind === "manual") return "It runs when somebody runs it.";
  return description ? `${description}${timezone && !entries ? `, by the clocks of ${timezone}` : ""}` : "Once";
}

export function drawWhen(preview: Preview | null, reason: string, start: StartOf): HTMLElement[] {
  if (!preview) return [nothing(reason)];
  const runs = ["now", "manual"].includes(preview.schedule.kind) ? [] : nextRuns(preview.nextRuns);
  return [el("p", { className: "lead" }, whenWords(preview, start)), ...runs, ...othersThen(preview)];
}

/** How many other jobs are due with the next run. */
function othersThen({ dueThen }: Preview): HTMLElement[] {
  if (!dueThen) return [];
  const { otherJobs, atLeast } = dueThen;
  const words = otherJobs ? `${atLeast ? "At least " : ""}${count(otherJobs)} other ${otherJobs === 1 ? "job is" : "jobs are"} due in that minute.` : "No other job is due in that minute.";
  return [el("p", { className: "hint" }, words)];
}

/** A button that says what the job would do to its pool. It is not said with each preview, since it may take the server seconds. */
export function askImpact(target: Target, task: string, body: Fields): HTMLElement {
  const button = el("button", { type: "button" }, "What it does to the pool");
  const place = el("div", { className: "impact", role: "status" }, button);
  button.addEventListener("click", () => {
    button.disabled = true;
    const content = target.content(body);
    preview(target, task, without(content, masked(content)), { forecast: "1" })
      .then(({ forecast }) => place.replaceChildren(...(forecast ? impactWords(forecast) : ["It has no time to come."]).map((words) => el("p", { className: "hint" }, words))))
      .catch((error: unknown) => {
        if (!(error instanceof Refusal)) throw error;
        button.disabled = false;
        place.replaceChildren(button, el("p", { className: "hint" }, error.message));
      });
  });
  return place;
}

function impactWords(found: ForecastImpact): string[] {
  const quiet = found.quietMinutes.map((minute) => `:${String(minute).padStart(2, "0")}`).join(" ");
  const words = [
    `In the next 7 days it is due ${found.due === 1 ? "once" : `${count(found.due)} times`}. At most ${count(found.peakWith)} run at once in its pool (${count(found.peakBefore)} without it), and ${count(found.maxRunning)} may.`,
  ];
  if (found.fullHoursWith) words.push(`The pool is full in ${count(found.fullHoursWith)} of the hours (${count(found.fullHoursBefore)} without it).`);
  if (found.fullestMinute) words.push(`In ${count(found.sharedMinutes)} of its minutes others are due, too: ${count(found.othersThen)} at ${moment(found.fullestMinute)}. Quiet minutes of the hour are ${quiet}.`);
  if (found.usualDuration === null) words.push("How long it takes is not known yet, so it counts for the moment of its start.");
  return words;
}

/** Where it runs, how much it may use there, and what it does to the others there. */
export function drawWhere(preview: Preview | null, reason: string, impact: () => HTMLElement): HTMLElement[] {
  if (!preview) return [nothing(reason)];
  const { pool, hosts, resources } = preview;
  const unusable = hosts.filter((host) => !host.usable);
  const words = unusable.length < hosts.length ? `${count(hosts.length - unusable.length)} of ${count(hosts.length)} usable` : "none is usable now";
  const reasons = unusable.map(({ host, reason: why }) => el("li", {}, el("code", {}, host), why ? `: ${why}` : ""));
  return [
    facts([
      ["Pool", el("bdi", {}, pool)],
      ["Hosts", hosts.length ? words : "none is known yet"],
      ["Memory", resources?.memory ? `up to ${memory(resources.memory)}` : null],
      ["Processors", resources?.cpus ? `up to ${count(resources.cpus)}` : null],
    ]),
    ...(reasons.length ? [el("ul", { className: "waits" }, ...reasons)] : []),
    ...(preview.nextRuns.length && preview.schedule.kind !== "now" ? [impact()] : []),
  ];
}
