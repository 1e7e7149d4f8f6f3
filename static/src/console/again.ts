// Runs what has been due again: one execution, also with another image, and due times of a range that have no success.

import type { Execution } from "../api";
import type { BackfillPreview } from "../contract";
import { el } from "../dom";
import { count, moment } from "../words";
import { asked, type Field, field } from "./runform";
import { api, executionOf, send } from "./server";
import type { Job } from "./shapes";

/** Runs the execution again. False: the form was closed. Throws a Refusal. */
export async function runAgain(one: Execution): Promise<boolean> {
  const url = `${executionOf(one.taskId, one.jobId, one.executionId)}/retry`;
  if (one.service === null) {
    const image = field("image", "Image", { default: one.image ?? undefined, description: "Another image, or the one that it ran" });
    return asked("Run it again with the details that it had", "Run again", [image], (given) => send("POST", url, given));
  }
  await send("POST", url, {});
  return true;
}

const LIMIT = 50;
const SHOW = "Show what would run";

/** A field for a moment, in the time zone of who reads the page. */
function when(name: string, words: string, hint: string): Field {
  const found = field(name, words, { description: hint });
  (found.input as HTMLInputElement).type = "datetime-local";
  return found;
}

const before = ({ dueTimes, succeeded, underWay }: BackfillPreview): string => {
  const [first, last] = [dueTimes[0], dueTimes.at(-1)];
  const range = first && last ? `: from ${moment(first)} to ${moment(last)}` : "";
  const many = (number: number, one: string, words: string): string => `${count(number)} ${number === 1 ? one : words}`;
  return `${many(dueTimes.length, "due time", "due times")} would run${range}. ${many(succeeded, "has", "have")} a success, ${many(underWay, "is", "are")} under way.`;
};

/** Asks for a range, shows what would run, and begins the backfill. False: the form was closed. Throws a Refusal. */
export function backfill(job: Job): Promise<boolean> {
  const url = (query: Record<string, string> = {}): string => api.job(job.taskId, job.id, "backfill", query);
  const limit = field("limit", "How many at once", { default: "1", description: `Up to ${LIMIT}` });
  const preview = el("p", { role: "status" });
  limit.element.append(preview);
  let seen = "";
  const start = async (given: Record<string, string>, go: HTMLButtonElement): Promise<boolean> => {
    const body: Record<string, unknown> = {};
    for (const name of ["from", "to"]) if (given[name]) body[name] = new Date(given[name]).toISOString();
    if (given.limit) body.limit = Number(given.limit);
    if (seen === JSON.stringify(body)) {
      await send("POST", url(), body);
      return true;
    }
    const asAtFirst = (): void => {
      preview.textContent = seen = "";
      go.textContent = SHOW;
    };
    const found = await send<BackfillPreview>("POST", url({ dryRun: "1" }), body);
    preview.textContent = before(found);
    seen = found.total ? JSON.stringify(body) : "";
    go.textContent = found.total ? `Run ${count(found.total)}` : "Look again";
    for (const { input } of fields) input.addEventListener("input", asAtFirst, { once: true });
    return false;
  };
  const fields = [when("from", "From", "The first due time of the range, in your time zone"), when("to", "To", "The last one; now if empty"), limit];
  return asked("Run due times that have no success", SHOW, fields, start);
}
