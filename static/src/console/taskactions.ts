// What people do with a whole task: two buttons, and a question before each.

import { el, say } from "../dom";
import { count, isolated } from "../words";
import { confirmed } from "./actions";
import { api, get, pages, send } from "./server";
import type { JobRow, List } from "./shapes";

const ACTIONS = { stop: "Stop all jobs", delete: "Delete the task" };

/** The buttons of a task. `barred`: why none of them may be used. */
export function taskActions(barred: string | null): HTMLElement[] {
  const buttons = Object.entries(ACTIONS).map(([verb, words]) =>
    el(
      "button",
      { type: "button", "data-act": "task", "data-verb": verb, "data-key": verb, className: verb === "delete" ? "danger" : "", disabled: barred !== null, title: barred ?? "" },
      words,
    ),
  );
  return barred ? [...buttons, el("span", { className: "muted" }, barred)] : buttons;
}

/** Does what a button says, if the answer to its question is yes. Throws a Refusal. */
export async function actOnTask(button: HTMLElement, task: string): Promise<void> {
  const { total } = await get<List<JobRow>>(api.jobsOf(task, { perPage: "1" }));
  const name = `the task “${isolated(task)}”`;
  const jobs = total === 1 ? "the only job" : `all ${count(total)} jobs`;
  if (button.dataset.verb === "stop") {
    if (!(await confirmed(`Stop ${jobs} of ${name}? What runs now is ended, and so are the schedules.`, "Stop all jobs"))) return;
    await send("POST", api.task(task, "stop"));
    say("All jobs were stopped");
  } else {
    const words = `Delete ${name} with ${jobs}, the executions and their logs? What runs or is scheduled is stopped first. This cannot be undone.`;
    if (!(await confirmed(words, "Delete the task"))) return;
    await send("DELETE", api.task(task, "", { stop: "1" }));
    say("The task was deleted");
    location.assign(pages.tasks);
  }
}
