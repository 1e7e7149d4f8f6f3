// What the job would be: the server is asked while it is typed, and its answer is shown.

import { el } from "../../dom";
import { count, memory } from "../../words";
import { facts, nothing } from "../parts";
import { nextRuns } from "../runs";
import { exchange, Refusal } from "../server";
import type { Resources, Schedule } from "../shapes";
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
}

/** `preview` is of what is right, null if even that cannot be told; `refusal` is what is wrong apart from fields. */
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

const preview = async (target: Target, task: string, body: Fields): Promise<Preview> =>
  JSON.parse(await exchange(target.method, target.url(task, { dryRun: "1" }), compact(body), target.headers)) as Preview;

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
  if (kind === "manual") return "It runs when somebody runs it.";
  return description ? `${description}${timezone && !entries ? `, by the clocks of ${timezone}` : ""}` : "Once";
}

export function drawWhen(preview: Preview | null, reason: string, start: StartOf): HTMLElement[] {
  if (!preview) return [nothing(reason)];
  const runs = ["now", "manual"].includes(preview.schedule.kind) ? [] : nextRuns(preview.nextRuns);
  return [el("p", { className: "lead" }, whenWords(preview, start)), ...runs];
}

/** Where it runs, and how much it may use there. */
export function drawWhere(preview: Preview | null, reason: string): HTMLElement[] {
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
  ];
}
