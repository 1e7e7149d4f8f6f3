// Names of things that lead to their pages.

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
