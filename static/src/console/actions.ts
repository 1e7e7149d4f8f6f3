// What people do with a job: buttons, and a question before what cannot be undone.

import { type Execution, FINAL } from "../api";
import { el, say, the } from "../dom";
import { count, isolated, shortId } from "../words";
import { backfill, runAgain } from "./again";
import { run } from "./runform";
import { api, pages, send, stopOf } from "./server";
import { barring, type Session } from "./session";
import type { Job } from "./shapes";
import { now } from "./times";

/** What the buttons of a page are about: a job, one of its executions, and the verbs that the page offers. */
export interface Subject {
  job: Job;
  /** The one that "Stop this run" ends; null: none. */
  one: Execution | null;
  verbs: readonly string[];
  /** Whether a backfill of the job is under way. */
  fills?: boolean;
}

interface Action {
  words(job: Job): string;
  /** What it does, for people who do not know it yet. */
  does: string;
  /** Whether it makes sense as things are. */
  fits(job: Job, subject: Subject): boolean;
  /** Why it cannot be done just now, though it makes sense. */
  off?(subject: Subject): string | null;
  /** The question to ask first, and its answer. */
  question?(job: Job, subject: Subject): readonly [string, string];
  /** The request, where it is not just a POST to the route of its name; false when the person called it off. */
  ask?(job: Job, subject: Subject): Promise<unknown>;
  done: string;
}

/** A job by its name and the end of its id. */
export const nameOf = (job: Job): string => `“${isolated(job.name ?? job.taskId)}” (${shortId(job.id)})`;

/** The newest of its executions under way. */
const runOf = (job: Job): Execution | null => job.executions.find((one) => !FINAL.has(one.status)) ?? null;

const isToCome = (job: Job): boolean => job.nextRuns.length > 0 || job.status === "paused";

/** What goes with a job. */
function withAll({ executionCount }: Job): string {
  if (!executionCount) return "";
  return executionCount === 1 ? ", with its execution and its log" : `, with its ${count(executionCount)} executions and their logs`;
}

/** Whether a due time would come again, had the job not been stopped. */
function couldStart({ status, schedule }: Job): boolean {
  return status === "stopped" && (schedule.kind === "cron" || (schedule.startAt !== null && Date.parse(schedule.startAt) > now()));
}

const ACTIONS: Record<string, Action> = {
  run: {
    words: () => "Run now",
    does: "Starts one more run with the job as it is now. Its schedule stays as it is.",
    fits: () => true,
    ask: run,
    done: "The run was enqueued",
  },
  retry: {
    words: () => "Retry",
    does: "Runs the last execution again: the image, the command and the variables that it had, even if the job has changed since.",
    fits: (job) => FINAL.has(job.status) && job.executionCount > 0,
    done: "The retry was enqueued",
  },
  again: {
    words: () => "Run again",
    does: "Runs this execution again, with the details and for the due time that it had, or with another image.",
    fits: (_, { one }) => one !== null && FINAL.has(one.status),
    ask: (_, { one }) => runAgain(one!),
    done: "The retry was enqueued",
  },
  backfill: {
    words: () => "Backfill",
    does: "Runs due times of a range that have no success, oldest first. Shows them before.",
    fits: (job, { fills }) => job.schedule.kind === "cron" && !fills,
    ask: backfill,
    done: "The backfill has begun",
  },
  "stop-backfill": {
    words: () => "Stop the backfill",
    does: "Ends the backfill and what it runs. The schedule goes on.",
    fits: (_, { fills }) => fills === true,
    question: (job) => [`Stop the backfill of the job ${nameOf(job)}? What it runs now is ended. The schedule goes on.`, "Stop the backfill"],
    ask: (job) => send("POST", `${api.job(job.taskId, job.id, "backfill")}/stop`),
    done: "The backfill was stopped",
  },
  pause: {
    words: () => "Pause",
    does: "Holds the schedule until someone resumes it. What runs goes on.",
    fits: (job) => job.status !== "paused" && job.nextRuns.length > 0,
    done: "Paused",
  },
  resume: { words: () => "Resume", does: "Releases the schedule.", fits: (job) => job.status === "paused", done: "Resumed" },
  start: {
    words: () => "Start the schedule",
    does: "Starts the stopped schedule again. What was due meanwhile does not run.",
    fits: couldStart,
    done: "The schedule was started",
  },
  "stop-run": {
    words: () => "Stop this run",
    does: "Ends this execution, on the job's page the newest under way, and no retry of it follows. The schedule goes on.",
    fits: (job, { one, verbs }) => one !== null && !FINAL.has(one.status) && (isToCome(job) || !verbs.includes("stop")),
    off: ({ one }) => (one!.stopRequestedAt ? "It is being stopped." : null),
    question: (job, { one }) => [`Stop the run ${shortId(one!.executionId)} of the job ${nameOf(job)}?${isToCome(job) ? " The schedule goes on." : ""}`, "Stop this run"],
    ask: (_, { one }) => send("POST", stopOf(one!.taskId, one!.jobId, one!.executionId)),
    done: "The run is being stopped",
  },
  stop: {
    words: (job) => (isToCome(job) ? "Stop the schedule" : "Stop"),
    does: "Ends what runs, and the schedule with it: nothing more starts by itself.",
    fits: (job) => runOf(job) !== null || isToCome(job),
    question: (job) => [
      isToCome(job)
        ? `Stop the job ${nameOf(job)} with its schedule? ${runOf(job) ? "What it runs now is ended, too, and n" : "N"}othing of it starts by itself any more.`
        : `Stop the job ${nameOf(job)}? What it runs now is ended.`,
      "Stop the job",
    ],
    done: "The job was stopped",
  },
  delete: {
    words: () => "Delete",
    does: "Removes the job with its executions and logs.",
    fits: () => true,
    question: (job) => [
      `Delete the job ${nameOf(job)} of the task “${isolated(job.taskId)}”${withAll(job)}? ` +
        "If it runs or is scheduled, it is stopped first. This cannot be undone.",
      "Delete the job",
    ],
    ask: (job) => send("DELETE", api.job(job.taskId, job.id, "", { stop: "1" })),
    done: "The job was deleted",
  },
};

/** All that can be done on a job's page. */
export const ofJob = (job: Job, fills = false): Subject => ({ job, one: runOf(job), verbs: Object.keys(ACTIONS), fills });

const fitting = (subject: Subject): [string, Action][] =>
  Object.entries(ACTIONS).filter(([verb, action]) => subject.verbs.includes(verb) && action.fits(subject.job, subject));

/** The buttons that make sense as things are; null where none does. Those that this person may not use are off, and it says why. */
export function actions(subject: Subject, who: Session): HTMLElement | null {
  const shown = fitting(subject);
  if (!shown.length) return null;
  const barred = new Set<string>();
  const buttons = shown.map(([name, { words, does, off }]) => {
    const bar = barring(who, name);
    if (bar) barred.add(bar);
    const reason = bar ?? off?.(subject) ?? null;
    const className = name === "delete" || name.startsWith("stop-") ? "danger" : "";
    return el("button", { type: "button", "data-act": "job", "data-verb": name, "data-key": name, className, disabled: reason !== null, title: reason ?? does }, words(subject.job));
  });
  const reasons = [...barred].map((reason) => el("span", { className: "muted", "data-key": "barred" }, reason));
  return el("div", { className: "actions", role: "group", "aria-label": "Actions" }, ...buttons, ...reasons);
}

/** What each of the buttons does, folded. */
export function explained(subject: Subject): HTMLElement {
  const { job } = subject;
  const rows = fitting(subject).map(([, { words, does }]) => el("div", {}, el("dt", {}, words(job)), el("dd", {}, does)));
  return el("details", { className: "explained", "data-key": "explained" }, el("summary", {}, "What the buttons do"), el("dl", { className: "facts" }, ...rows));
}

/** Does what a button says, after the question if there is one. Throws a Refusal. */
export async function act(button: HTMLElement, subject: Subject): Promise<void> {
  const { job } = subject;
  const verb = button.dataset.verb!;
  const { question, ask, done } = ACTIONS[verb]!;
  if (question && !(await confirmed(...question(job, subject)))) return;
  if ((await (ask ? ask(job, subject) : send("POST", api.job(job.taskId, job.id, verb)))) === false) return;
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
