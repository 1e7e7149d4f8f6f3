// What the form makes of its body: a new job, or a change of one that is there.

import { api } from "../server";
import { compact, type Fields } from "./json";

export interface Target {
  method: "POST" | "PATCH";
  url(task: string, query?: Record<string, string>): string;
  /** What is sent: all of a new job, and of one that is there what differs. */
  content(body: Fields): Fields;
  headers: Record<string, string>;
  button: string;
  busy: string;
  done: string;
  /** What is not known when an answer is lost. */
  mayBe: string;
  mayBeAnother: string;
}

export const NEW: Target = {
  method: "POST",
  url: (task, query) => api.task(task, "", query),
  content: (body) => body,
  headers: {},
  button: "Create the job",
  busy: "Creating…",
  done: "The job was created",
  mayBe: "The job may have been created, or not. Press the button again: it is not created twice.",
  mayBeAnother: "An earlier attempt may have created the job as the form was then. To create this one, too, press the button again.",
};

/** A change of a job. `before`: its fields as the form had them first; `tag`: its version then. */
export const edited = (task: string, id: string, before: Fields, tag: string | null): Target => ({
  method: "PATCH",
  url: (_, query) => api.job(task, id, "", query),
  content: (body) => difference(before, body),
  headers: tag ? { "If-Match": tag } : {},
  button: "Save the changes",
  busy: "Saving…",
  done: "The job was changed",
  mayBe: "The job may have been changed, or not. Press the button again: it is not changed twice.",
  mayBeAnother: "An earlier attempt may have changed the job as the form was then. Open the job, and look at what it is now.",
});

/** What says when a job starts. A change that only takes away what it follows would leave it to be run by hand. */
const STARTS = ["startIn", "startAt", "cron", "manual", "after"];

/** The fields that differ, as a PATCH takes them: null removes one. */
function difference(before: Fields, after: Fields): Fields {
  const found: Fields = new Map([...before.keys()].filter((name) => !after.has(name)).map((name) => [name, null]));
  for (const [name, value] of after) {
    const old = before.get(name);
    if (old === undefined || compact(old) !== compact(value)) found.set(name, value);
  }
  if (found.get("after") === null && !STARTS.some((name) => after.has(name))) found.set("manual", false);
  return found;
}
