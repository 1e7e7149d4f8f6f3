// The chain of a job: what it follows, and what follows it, each with its last status.

import { el } from "../dom";
import { isolated, shortId } from "../words";
import { mark } from "./marks";
import { link, section } from "./parts";
import { pages } from "./server";
import type { Chain, LinkedJob, Schedule } from "./shapes";
import { ago } from "./times";

const ENDS: Record<string, string> = { succeeds: "has succeeded", fails: "has failed", finishes: "has ended" };

/** When a job after others runs, in words. */
export function afterWords({ after, afterOn }: Schedule): string {
  const many = (after?.length ?? 0) > 1;
  return `Each time that ${many ? "each of the jobs that it follows" : "the job that it follows"} ${ENDS[afterOn ?? "succeeds"]}${many ? " again" : ""}`;
}

/** Nothing of a job that is part of no chain. */
export function chainSection({ follows, followedBy }: Chain): HTMLElement | null {
  if (!follows.length && !followedBy.length) return null;
  return section("Chain", null, ...side("It follows", follows), ...side("Then run", followedBy));
}

function side(title: string, jobs: readonly LinkedJob[]): HTMLElement[] {
  return jobs.length ? [el("h3", {}, title), el("ul", { className: "chain" }, ...jobs.map(linked))] : [];
}

function linked(job: LinkedJob): HTMLElement {
  if (job.gone) return el("li", {}, el("code", {}, shortId(job.jobId)), " is gone");
  if (job.taskId === null) return el("li", {}, "a job of another task");
  const last = job.lastExecution;
  return el(
    "li",
    {},
    link(pages.job(job.taskId, job.jobId), isolated(job.name ?? shortId(job.jobId))),
    " ",
    job.status && mark(job.status),
    last && el("small", {}, " ", ago(last.finishedAt ?? last.startedAt ?? last.createdAt)),
    job.arrived && el("small", {}, " · has ended, and waits for the others"),
  );
}
