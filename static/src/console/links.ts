// Names of things that lead to their pages.

import type { Execution } from "../api";
import { el } from "../dom";
import { shortId } from "../words";
import { link } from "./parts";
import { pages } from "./server";

/** A job, by its name, or else its task's, and the end of its id. */
export const jobLink = (task: string, job: string, name: string | null): HTMLElement =>
  el(
    "span",
    { className: "name" },
    link(pages.job(task, job), el("bdi", {}, name ?? task)),
    " ",
    el("code", { className: "id", title: `job ${job} of the task ${task}` }, shortId(job)),
  );

/** Where an execution runs or ran: its node, or the host that was asked for it while that is not known. */
export function ranOn(one: Execution): HTMLElement | null {
  const name = one.node ?? one.host;
  return name ? el("code", one.host ? { title: `asked of ${one.host}` } : {}, name) : null;
}
