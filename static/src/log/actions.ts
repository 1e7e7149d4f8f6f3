// What people do with the job from the page of its log. Who came by a ticket may only read: they get no buttons and no navigation.

import type { Execution } from "../api";
import { act, actions, type Subject } from "../console/actions";
import { morphChildren } from "../console/morph";
import { drawNav } from "../console/nav";
import { dismiss, perform } from "../console/perform";
import type { Refusal } from "../console/server";
import { isVisitor, type Session, session } from "../console/session";
import type { Job } from "../console/shapes";
import { the } from "../dom";

/** What of a job's actions is offered here. A job is stopped for good, or deleted, on its own page. */
const VERBS = ["stop-run", "run", "retry", "pause", "resume"];

export class Actions {
  private subject: Subject | null = null;
  /** Who is here; null while that is not known, and for who came by a ticket. */
  private who: Session | null = null;

  /** `onDone`: called when something may have changed, or was refused. */
  constructor(onDone: (refusal: Refusal | null) => void) {
    void this.ask();
    document.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-act]");
      const verb = button?.dataset.act;
      if (verb === "dismiss") dismiss();
      const { subject } = this;
      if (button && subject && verb === "job") void perform((pressed) => act(pressed, subject), button).then(onDone);
    });
  }

  /** Shows the buttons that make sense for a job and the execution whose log is shown. */
  draw(job: Job, one: Execution | null): void {
    this.subject = { job, one, verbs: VERBS };
    if (!this.who) return;
    const group = actions(this.subject, this.who);
    morphChildren(the("actions"), group ? [group] : []);
  }

  /** Finds out who is here, and what they may do. */
  async ask(): Promise<void> {
    const who = await session().catch(() => null);
    if (!who || isVisitor(who)) return;
    this.who = who;
    drawNav("tasks");
    if (this.subject) this.draw(this.subject.job, this.subject.one);
  }
}
