// What people do with a job: buttons, and a question before what cannot be undone.

import { type Execution, FINAL } from "../api";
import { el, say, the } from "../dom";
import { count, isolated, shortId } from "../words";
import { run } from "./runform";
import { api, pages, send, stopOf } from "./server";
import type { Job } from "./shapes";
import { now } from "./times";

interface Action {
  words(job: Job): string;
  /** What it does, for people who do not know it yet. */
  does: string;
  /** Whether it makes sense in the job's status. */
  fits(job: Job): boolean;
  /** The question to ask first, and its answer. */
  question?(job: Job): readonly [string, string];
  /** The request, where it is not just a POST to the route of its name; false when the person called it off. */
  ask?(job: Job): Promise<unknown>;
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
    does: "Ends the newest execution under way, and no retry of it follows. The schedule goes on.",
    fits: (job) => isToCome(job) && runOf(job) !== null,
    question: (job) => [`Stop the run ${shortId(runOf(job)!.executionId)} of the job ${nameOf(job)}? The schedule goes on.`, "Stop this run"],
    ask(job) {
      const one = runOf(job);
      return one ? send("POST", stopOf(one.taskId, one.jobId, one.executionId)) : Promise.resolve();
    },
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

const fitting = (job: Job, verbs: readonly string[]): [string, Action][] =>
  Object.entries(ACTIONS).filter(([verb, action]) => verbs.includes(verb) && action.fits(job));

/** The buttons of a job. `barred`: why none of them may be used. `verbs`: which of them; all, unless given. */
export function actions(job: Job, barred: string | null, verbs: readonly string[] = Object.keys(ACTIONS)): HTMLElement {
  const buttons = fitting(job, verbs).map(([name, { words, does }]) =>
    el(
      "button",
      { type: "button", "data-act": "job", "data-verb": name, "data-key": name, className: name === "delete" ? "danger" : "", disabled: barred !== null, title: barred ?? does },
      words(job),
    ),
  );
  const reason = barred && el("span", { className: "muted", id: "barred" }, barred);
  return el("div", { className: "actions", role: "group", "aria-label": "Actions" }, ...buttons, reason);
}

/** What each of the buttons does, folded. */
export function explained(job: Job): HTMLElement {
  const rows = fitting(job, Object.keys(ACTIONS)).map(([, { words, does }]) => el("div", {}, el("dt", {}, words(job)), el("dd", {}, does)));
  return el("details", { className: "explained", "data-key": "explained" }, el("summary", {}, "What the buttons do"), el("dl", { className: "facts" }, ...rows));
}

/** Does what a button says, after the question if there is one. Throws a Refusal. */
export async function act(button: HTMLElement, job: Job): Promise<void> {
  const verb = button.dataset.verb!;
  const { question, ask, done } = ACTIONS[verb]!;
  if (question && !(await confirmed(...question(job)))) return;
  if ((await (ask ? ask(job) : send("POST", api.job(job.taskId, job.id, verb)))) === false) return;
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
