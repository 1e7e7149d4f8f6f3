// Names of things that lead to their pages.

import { el } from "../dom";
import { shortId } from "../words";
import { link } from "./parts";
import { pages } from "./server";

/** A job, by its task and the end of its id. */
export const jobLink = (task: string, job: string): HTMLElement =>
  el(
    "span",
    { className: "name" },
    link(pages.job(task, job), el("bdi", {}, task)),
    " ",
    el("code", { className: "id", title: `job ${job}` }, shortId(job)),
  );
