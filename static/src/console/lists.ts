// The pages that are lists: all jobs, the jobs of a task, and the executions of all tasks. What all lists have in common.

import { type Execution, statusWords } from "../api";
import { el, the } from "../dom";
import { reasonWords } from "../outcome";
import { count, sentence } from "../words";
import { asked, choice, search } from "./filters";
import { jobLink, ranOn } from "./links";
import { mark } from "./marks";
import type { Page } from "./page";
import { morphChildren } from "./morph";
import { expected, heard } from "./notifications";
import { logSearch } from "./logsearch";
import { link, nothing, table } from "./parts";
import { api, get, logOf, pages } from "./server";
import { readOnly, session } from "./session";
import type { JobRow, List } from "./shapes";
import { actOnTask, taskActions } from "./taskactions";
import { ago, ran, until } from "./times";

export const PER_PAGE = "50";
const ANY = ["", "any"] as const;
const TIMES = [ANY, ["1h", "the last hour"], ["24h", "the last 24 hours"], ["7d", "the last 7 days"]] as const;
const EXECUTION_STATUSES = [
  ANY,
  ["enqueued,pulling,running", "waiting or running"],
  ["failed,timedout,expired", "failed, timed out or expired"],
  ...["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired"].map((one) => [one, statusWords(one)] as const),
] as const;
const JOB_STATUSES = [ANY, ...["scheduled", "paused", "idle", "running", "enqueued", "done", "failed", "timedout", "stopped", "expired"].map((one) => [one, statusWords(one)] as const)];

export function taskPage(task: string, changed: () => void): Page {
  const actions = el("div", { className: "actions", role: "group", "aria-label": "Actions" });
  return {
    nav: "tasks",
    title: task,
    events: { task },
    tools: [heading(task), search("label", "Label, as team=data", changed), choice("status", "Status", JOB_STATUSES, changed), actions, logSearch(task)],
    acts: { task: (button) => actOnTask(button, task) },
    async load() {
      const query = asked();
      if (!/^.+=/.test(query.label ?? "")) delete query.label;
      const [who, list] = await Promise.all([session(), get<List<JobRow>>(api.jobsOf(task, { perPage: PER_PAGE, ...query }))]);
      morphChildren(actions, taskActions(readOnly(who)));
      const empty =
        query.label || query.status
          ? nothing(noJobs(query))
          : nothing("This task has no jobs. ", link(pages.newJob({ task }), "Create one"), ".");
      return () => drawList(task, list, table(`Jobs of ${task}`, jobColumns(false), list.items, (one) => one.id), empty);
    },
  };
}

const LATE = [ANY, ["1", "only late ones"]] as const;
const ALL_STATUSES = [...JOB_STATUSES.slice(0, 1), ["failed,timedout,expired", "failed, timed out or expired"] as const, ...JOB_STATUSES.slice(1)];

/** All jobs and schedules. */
export function jobsPage(changed: () => void): Page {
  return {
    nav: "jobs",
    title: "Jobs",
    events: { kind: "job,task,execution" },
    tools: [
      heading("Jobs"),
      search("query", "Search jobs: name, command, id", changed),
      search("task", "Of a task", changed, true),
      search("label", "Label, as team=data", changed, true),
      choice("status", "Status", ALL_STATUSES, changed),
      choice("late", "Late", LATE, changed),
    ],
    async load() {
      const query = asked();
      if (!/^.+=/.test(query.label ?? "")) delete query.label;
      const list = await get<List<JobRow>>(api.allJobs({ perPage: PER_PAGE, ...query }));
      const filtered = query.query || query.task || query.label || query.status || query.late;
      const empty = filtered ? nothing("No job is like that.") : nothing("There are no jobs yet. ", link(pages.newJob(), "Create a first one"), ".");
      return () => drawList("Jobs", list, table("Jobs", jobColumns(true), list.items, (one) => one.id), empty);
    },
  };
}

/** What a list shows of a job. `withTask`: the jobs are of several tasks. */
const jobColumns = (withTask: boolean) => [
  { title: "Status", cell: (one: JobRow) => link(pages.job(one.taskId, one.id), mark(one.status)) },
  { title: "Job", is: "grow" as const, cell: (one: JobRow) => named(one, withTask) },
  { title: "Last run", wide: true, cell: (one: JobRow) => one.lastExecution && lastRun(one.lastExecution) },
  { title: "Next run", is: "number" as const, cell: (one: JobRow) => (one.nextRunAt ? until(one.nextRunAt) : "") },
];

export function executionsPage(changed: () => void): Page {
  return {
    nav: "executions",
    title: "Executions",
    events: { kind: "execution" },
    tools: [
      heading("Executions"),
      search("task", "All of a task", changed),
      choice("status", "Status", EXECUTION_STATUSES, changed),
      choice("since", "Due in", TIMES, changed),
    ],
    async load() {
      const query = asked();
      const list = await get<List<Execution>>(api.executions({ perPage: PER_PAGE, ...query }));
      const columns = [
        { title: "Status", cell: (one: Execution) => link(logOf(one.taskId, one.jobId, one.executionId), mark(one.status)) },
        { title: "Job", is: "grow" as const, cell: (one: Execution) => el("div", {}, jobLink(one.taskId, one.jobId, one.jobName), reasonOf(one), commandOf(one)) },
        { title: "Host", wide: true, cell: (one: Execution) => ranOn(one) },
        { title: "Due", is: "number" as const, cell: (one: Execution) => el("div", {}, ago(one.scheduledFor), el("div", { className: "narrow" }, ran(one))) },
        { title: "Ran", wide: true, is: "number" as const, cell: ran },
      ];
      const filtered = query.status || query.task || query.since;
      const empty = nothing(filtered ? "No execution is like that." : "Nothing has run here yet.");
      return () => drawList("Executions", list, table("Executions", columns, list.items, (one) => one.executionId), empty);
    },
  };
}

/** Says that the filters find no job. */
function noJobs({ label, status }: Record<string, string>): string {
  const found = [label && `has the label “${label}”`, status && `is ${statusWords(status)}`];
  return `No job of this task ${found.filter(Boolean).join(" and ")}.`;
}

// parts of rows

function named(one: JobRow, withTask: boolean): HTMLElement {
  const rules = [(one.expectEvery !== null || one.doneBy !== null) && el("span", {}, expected(one.expectEvery, one.doneBy)), ...heard(one)].filter((part) => part !== false);
  return el(
    "div",
    {},
    jobLink(one.taskId, one.id, one.name),
    one.lateSince && el("span", { className: "tag" }, "late since ", ago(one.lateSince)),
    el(
      "div",
      { className: "reason" },
      withTask && one.name ? el("span", {}, el("bdi", {}, one.taskId), " · ") : null,
      one.schedule.description ? `${one.schedule.description} · ` : null,
      el("code", {}, one.command ?? subject(one)),
    ),
    rules.length > 0 && el("div", { className: "rules" }, ...rules),
    one.lastExecution && el("div", { className: "narrow" }, "Last run: ", lastRun(one.lastExecution)),
  );
}

/** What it runs, without its command: its image, or the service that it runs as. */
const subject = (one: { image: string | null; service: string | null }): string | null => (one.service === null ? one.image : `service ${one.service}`);

/** When a run ended or began. */
const momentOf = (one: Run): string => one.finishedAt ?? one.startedAt ?? one.createdAt;

type Run = Pick<Execution, "status" | "finishedAt" | "startedAt" | "createdAt">;

/** How the last run is, and since when. */
export const lastRun = (last: Run): HTMLElement => el("span", {}, mark(last.status), " ", ago(momentOf(last)));

/** Why it did not do its work. */
function reasonOf(one: Execution): HTMLElement | null {
  const reason = (reasonWords(one) ?? "").replace(/^failed: /, "");
  return reason ? el("div", { className: "reason" }, sentence(reason)) : null;
}

const commandOf = (one: Execution): HTMLElement => el("div", { className: "reason" }, el("code", {}, one.command ?? subject(one)));

// the list itself

/** The title, with the length of the list. */
export const heading = (title: string): HTMLElement => el("h1", {}, el("bdi", {}, title), " ", el("small", { id: "count" }));

export function drawList(title: string, list: List<unknown>, content: HTMLElement, empty: HTMLElement): HTMLElement[] {
  const shown = list.items.length > 0;
  the("count").textContent = shown ? count(list.total) : "";
  return [
    el("section", { "data-key": "list", "aria-label": title }, shown ? content : empty, pager(list)),
  ];
}

/** Links to the pages before and after, which carry the cursor of the API's answer. */
function pager(list: List<unknown>): HTMLElement | null {
  if (list.pages <= 1) return null;
  const to = (url: string | null, words: string, rel: string): HTMLElement =>
    url ? el("a", { className: "button", href: `${location.pathname}${new URL(url).search}`, rel }, words) : el("span", { className: "button off" }, words);
  return el(
    "nav",
    { className: "pager", "aria-label": "Pages of the list" },
    to(list.prevUrl, "Previous", "prev"),
    el("span", {}, `Page ${count(list.page)} of ${count(list.pages)}`),
    to(list.nextUrl, "Next", "next"),
  );
}
