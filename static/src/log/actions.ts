// What people do with the job from the page of its log. Who came by a ticket may only read: they get no buttons and no navigation.

import { FINAL, type Execution } from "../api";
import { act, actions, confirmed, nameOf } from "../console/actions";
import { morphChildren } from "../console/morph";
import { drawNav } from "../console/nav";
import { dismiss, perform } from "../console/perform";
import { type Refusal, send, stopOf } from "../console/server";
import { isVisitor, readOnly, session } from "../console/session";
import type { Job } from "../console/shapes";
import { el, say, the } from "../dom";
import { shortId } from "../words";

/** What of a job's actions is offered here. A job is stopped for good, or deleted, on its own page. */
const VERBS = ["run", "retry", "pause", "resume"];

export class Actions {
  private job: Job | null = null;
  private one: Execution | null = null;
  /** Why this person may not use them; undefined while that is not known, and for who came by a ticket. */
  private barred: string | null | undefined;

  /** `onDone`: called when something may have changed, or was refused. */
  constructor(onDone: (refusal: Refusal | null) => void) {
    void this.ask();
    document.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-act]");
      const verb = button?.dataset.act;
      if (verb === "dismiss") dismiss();
      const { job, one } = this;
      if (!button || !job) return;
      if (verb === "job") void perform((pressed) => act(pressed, job), button).then(onDone);
      if (verb === "stop" && one) void perform(() => stop(job, one), button).then(onDone);
    });
  }

  /** Shows the buttons that make sense for a job and the execution whose log is shown. */
  draw(job: Job, one: Execution | null): void {
    this.job = job;
    this.one = one;
    if (this.barred === undefined) return;
    const group = actions(job, this.barred, VERBS);
    if (one && !FINAL.has(one.status)) group.prepend(stopButton(one, this.barred));
    morphChildren(the("actions"), [group]);
  }

  /** Finds out who is here, and what they may do. */
  async ask(): Promise<void> {
    const who = await session().catch(() => null);
    if (!who || isVisitor(who)) return;
    this.barred = readOnly(who);
    drawNav("tasks");
    if (this.job) this.draw(this.job, this.one);
  }
}

/** The button that stops an execution; `barred`: why this person may not. */
export function stopButton(one: Execution, barred: string | null): HTMLElement {
  const asked = one.stopRequestedAt ? "It is being stopped." : null;
  const reason = barred ?? asked;
  return el("button", { type: "button", "data-act": "stop", "data-key": "stop", className: "danger", disabled: reason !== null, title: reason ?? "" }, "Stop");
}

/** Stops an execution, after a question that names it. Throws a Refusal. */
export async function stop(job: Job, one: Execution): Promise<void> {
  const schedule = job.nextRuns.length ? " Its schedule goes on." : "";
  const words = `Stop the execution …${shortId(one.executionId)} of the job ${nameOf(job)}?${schedule}`;
  if (!(await confirmed(words, "Stop the execution"))) return;
  await send("POST", stopOf(one.taskId, one.jobId, one.executionId));
  say("The execution is being stopped");
}
