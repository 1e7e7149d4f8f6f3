// What people do with a job: buttons, and a question before what cannot be undone.

import { FINAL } from "../api";
import { el, say, the } from "../dom";
import { count, isolated, shortId } from "../words";
import { run } from "./runform";
import { api, pages, send } from "./server";
import type { Job } from "./shapes";

interface Action {
  words: string;
  /** Whether it makes sense in the job's status. */
  fits(job: Job): boolean;
  /** The question to ask first, and its answer. */
  question?(job: Job): readonly [string, string];
  done: string;
}

const UNDER_WAY = new Set(["enqueued", "pulling", "running"]);
/** A job by its name and the end of its id. */
export const nameOf = (job: Job): string => `“${isolated(job.name ?? job.taskId)}” (${shortId(job.id)})`;

/** What goes with a job. */
function withAll({ executionCount }: Job): string {
  if (!executionCount) return "";
  return executionCount === 1 ? ", with its execution and its log" : `, with its ${count(executionCount)} executions and their logs`;
}

const ACTIONS: Record<string, Action> = {
  run: { words: "Run now", fits: () => true, done: "The run was enqueued" },
  retry: { words: "Retry", fits: (job) => FINAL.has(job.status) && job.executionCount > 0, done: "The retry was enqueued" },
  pause: { words: "Pause", fits: (job) => job.status !== "paused" && job.nextRuns.length > 0, done: "Paused" },
  resume: { words: "Resume", fits: (job) => job.status === "paused", done: "Resumed" },
  stop: {
    words: "Stop",
    fits: (job) => UNDER_WAY.has(job.status) || job.nextRuns.length > 0 || job.status === "paused",
    question: (job) => [`Stop the job ${nameOf(job)}? What it runs now is ended, and its schedule with it.`, "Stop the job"],
    done: "The job was stopped",
  },
  delete: {
    words: "Delete",
    fits: () => true,
    question: (job) => [
      `Delete the job ${nameOf(job)} of the task “${isolated(job.taskId)}”${withAll(job)}? ` +
        "If it runs or is scheduled, it is stopped first. This cannot be undone.",
      "Delete the job",
    ],
    done: "The job was deleted",
  },
};

/** The buttons of a job. `barred`: why none of them may be used. `verbs`: which of them; all, unless given. */
export function actions(job: Job, barred: string | null, verbs: readonly string[] = Object.keys(ACTIONS)): HTMLElement {
  const fitting = Object.entries(ACTIONS).filter(([verb, action]) => verbs.includes(verb) && action.fits(job));
  const buttons = fitting.map(([name, { words }]) =>
    el(
      "button",
      { type: "button", "data-act": "job", "data-verb": name, "data-key": name, className: name === "delete" ? "danger" : "", disabled: barred !== null, title: barred ?? "" },
      words,
    ),
  );
  const reason = barred && el("span", { className: "muted", id: "barred" }, barred);
  return el("div", { className: "actions", role: "group", "aria-label": "Actions" }, ...buttons, reason);
}

/** Does what a button says, after the question if there is one. Throws a Refusal. */
export async function act(button: HTMLElement, job: Job): Promise<void> {
  const verb = button.dataset.verb!;
  const { question, done } = ACTIONS[verb]!;
  if (question && !(await confirmed(...question(job)))) return;
  if (verb === "delete") await send("DELETE", api.job(job.taskId, job.id, "", { stop: "1" }));
  else if (verb === "run") {
    if (!(await run(job))) return;
  } else await send("POST", api.job(job.taskId, job.id, verb));
  say(done);
  if (verb === "delete") location.assign(pages.task(job.taskId));
}

/** Asks a question; whether the answer is yes. */
export function confirmed(words: string, yes: string): Promise<boolean> {
  const dialog = the<HTMLDialogElement>("question");
  const button = (value: string, text: string, className = ""): HTMLElement => {
    const made = el("button", { type: "button", className }, text);
    made.addEventListener("click", () => dialog.close(value));
    return made;
  };
  dialog.returnValue = "";
  dialog.replaceChildren(
    el("p", { id: "question-words" }, words),
    el("div", { className: "answers" }, button("", "Cancel"), button("yes", yes, "danger")),
  );
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true }));
}
