// The first page: what runs, what waits, what failed, what comes next, and how the pools and hosts are.

import type { Execution } from "../api";
import { el } from "../dom";
import { reasonWords } from "../outcome";
import { count } from "../words";
import { day, sum, wrongIn } from "./history";
import { byName, hostState, reasonOf } from "./hosts";
import { jobLink } from "./links";
import { mark } from "./marks";
import type { Page } from "./page";
import { command, link, nothing, notice, section, table } from "./parts";
import { poolBars } from "./pools";
import { api, get, logOf, pages, root } from "./server";
import type { History, List, Status } from "./shapes";
import { ago, lasting, now, until } from "./times";

const UNDER_WAY = "enqueued,pulling,running";
const WENT_WRONG = "failed,timedout,expired";
const DAY = "24h";

interface Facts {
  status: Status;
  underWay: List<Execution>;
  wrong: List<Execution>;
  history: History;
}

export const overview: Page = {
  nav: "overview",
  title: "Overview",
  async load() {
    const [status, underWay, wrong, history] = await Promise.all([
      get<Status>(api.status),
      get<List<Execution>>(api.executions({ status: UNDER_WAY, perPage: "12" })),
      get<List<Execution>>(api.executions({ status: WENT_WRONG, since: DAY, perPage: "8" })),
      get<History>(api.history),
    ]);
    const facts = { status, underWay, wrong, history };
    return () => (isEmpty(status) ? welcome(status) : draw(facts));
  },
};

const isEmpty = (status: Status): boolean => status.jobs.count === 0 && Object.values(status.executions).every((one) => one === 0);

function draw(facts: Facts): HTMLElement[] {
  const { status } = facts;
  return [
    el("h1", { className: "unseen" }, "Overview"),
    ...troubles(status),
    figures(facts),
    el(
      "div",
      { className: "columns", "data-key": "columns" },
      el("div", {}, now_(facts), day(facts.history), failures(facts)),
      el("div", {}, section("Pools", null, poolBars(status.queues)), next(status), hosts(status)),
    ),
  ];
}

/** What an empty server shows: what to do first. */
function welcome(status: Status): HTMLElement[] {
  const body = `{"image": "ubuntu:latest", "command": "ls -lah"}`;
  return [
    ...troubles(status),
    el(
      "div",
      { className: "welcome" },
      el("h1", {}, "Nothing has run here yet"),
      el("p", {}, "fastlane runs commands in containers: now, later or on a schedule. Start a first job from a terminal:"),
      command(`curl -XPOST -d'${body}' ${root}tasks/test-task`),
      el("p", {}, "It appears here at once. The reply has a ", el("code", {}, "jobUrl"), ", where you find its status and its log."),
      el("p", {}, "Or fill in ", link(pages.newJob(), "the form of a new job"), ", or a request on the page of ", link(`${root}docs#/tasks/enqueue`, "the HTTP API"), "."),
    ),
  ];
}

/** What keeps everything from running. */
function troubles(status: Status): HTMLElement[] {
  const found: HTMLElement[] = [];
  if (status.workers.alive === 0) found.push(notice("bad", "No worker is alive, so nothing starts. Start one with ", el("code", {}, "fastlane worker"), "."));
  if (status.dispatch.paused) found.push(notice("warn", status.dispatch.reason === "restored" ? RESTORED : "All dispatch is paused. What runs goes on, and nothing new starts."));
  if (status.pools.error) found.push(notice("warn", `The pools could not be read again: ${status.pools.error}`));
  for (const [pool, lane] of Object.entries(status.strandedQueues)) {
    found.push(notice("warn", `No worker serves the pool ${pool} any more, where ${count(lane.ready + lane.timed + lane.blocked)} wait.`));
  }
  return found;
}

const RESTORED = "All dispatch is paused, because the store went back to an earlier state, as after a backup was restored.";

function figures({ status, history }: Facts): HTMLElement {
  const { running, pulling, enqueued } = status.executions;
  const list = (query: Record<string, string>): string => pages.executions(query);
  const rows: [string, string, number, string, string | null][] = [
    ["running", "Running", running + pulling, "now", list({ status: "pulling,running" })],
    ["enqueued", "Waiting", enqueued, "now", list({ status: "enqueued" })],
    ["failed", "Failed", sum(history.hours, wrongIn), "last 24 h", list({ status: WENT_WRONG, since: DAY })],
    ["done", "Done", sum(history.hours, (hour) => hour.done), "last 24 h", list({ status: "done", since: DAY })],
    ["scheduled", "Scheduled", status.jobs.byStatus?.scheduled ?? status.jobs.scheduled.length, "jobs", null],
  ];
  const cards = rows.map(([is, name, value, when, href]) =>
    el(
      "div",
      { className: value ? "" : "zero" },
      el("dt", {}, href ? link(href, mark(is, name)) : mark(is, name)),
      el("dd", {}, el("b", {}, count(value)), " ", el("small", {}, when)),
    ),
  );
  return el("dl", { className: "figures", "data-key": "figures" }, ...cards);
}

function now_({ underWay }: Facts): HTMLElement {
  const columns = [
    { title: "Status", cell: (one: Execution) => link(logOf(one.taskId, one.jobId, one.executionId), mark(one.status)) },
    { title: "Task", is: "grow" as const, cell: nameOf },
    { title: "Host", wide: true, cell: (one: Execution) => (one.host ? el("code", {}, one.host) : null) },
    { title: "For", is: "number" as const, cell: (one: Execution) => since(one) },
  ];
  const content = underWay.items.length
    ? table("Executions under way", columns, underWay.items, (one) => one.executionId)
    : nothing("Nothing runs or waits.");
  return section("Now", more(underWay, { status: UNDER_WAY }), content);
}

/** How long it has run, or waited; or when it is due. */
function since(one: Execution): HTMLElement {
  if (one.startedAt) return lasting(one.startedAt);
  return Date.parse(one.scheduledFor) > now() ? until(one.scheduledFor) : lasting(one.scheduledFor);
}

function failures({ wrong }: Facts): HTMLElement {
  const columns = [
    { title: "Status", cell: (one: Execution) => link(logOf(one.taskId, one.jobId, one.executionId), mark(one.status)) },
    { title: "Task", is: "grow" as const, cell: (one: Execution) => el("div", {}, nameOf(one), el("div", { className: "reason" }, reason(one))) },
    { title: "When", is: "number" as const, cell: (one: Execution) => ago(one.finishedAt ?? one.scheduledFor) },
  ];
  const content = wrong.items.length
    ? table("Executions that failed, timed out or expired in the last 24 hours", columns, wrong.items, (one) => one.executionId)
    : nothing("Nothing failed in the last 24 hours.");
  return section("Recent failures", more(wrong, { status: WENT_WRONG, since: DAY }), content);
}

/** Why it failed, as a sentence begins; the status itself stands beside it. */
function reason(one: Execution): string {
  const words = (reasonWords(one) ?? "").replace(/^failed: /, "");
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

/** Leads to the whole list, where it is longer than what is shown. */
const more = (list: List<unknown>, query: Record<string, string>): HTMLElement | null =>
  list.total > list.items.length ? link(pages.executions(query), `All ${count(list.total)}`) : null;

const nameOf = (one: Execution): HTMLElement => jobLink(one.taskId, one.jobId, one.jobName);

/** The next due jobs, each with a point on a line from now to the last of them. */
function next(status: Status): HTMLElement {
  const jobs = status.jobs.scheduled.filter((job) => job.nextRunAt).slice(0, 8);
  if (!jobs.length) return section("Next due", null, nothing("No job is scheduled. ", link(pages.newJob(), "Schedule one"), "."));
  const last = Math.max(...jobs.map((job) => Date.parse(job.nextRunAt!)));
  const span = Math.max(1, last - now());
  const rows = jobs.map((job) => {
    const dot = el("i", {});
    dot.style.left = `${Math.round(Math.min(1, Math.max(0, (Date.parse(job.nextRunAt!) - now()) / span)) * 1_000) / 10}%`;
    return el(
      "li",
      { "data-key": job.jobId },
      jobLink(job.taskId, job.jobId, job.name),
      until(job.nextRunAt!),
      el("span", { className: "track", "aria-hidden": "true" }, dot),
    );
  });
  return section("Next due", null, el("ol", { className: "timeline" }, ...rows));
}

/** The hosts, each once, with all pools that give it work. */
function hosts(status: Status): HTMLElement {
  if (!status.hosts.length) return section("Hosts", null, nothing("No host is known yet."));
  const rows = byName(status.hosts).map(({ name, host, pools: all }) =>
    el(
      "li",
      { "data-key": name, "data-host": hostState(host) },
      el("span", { className: "name" }, el("code", {}, name)),
      el("span", { className: "state" }, hostState(host)),
      el("span", { className: "detail" }, reasonOf(host) ?? `${all.length > 1 ? "pools" : "pool"} ${all.join(", ")} · ${count(host.running)} running`),
    ),
  );
  return section("Hosts", link(pages.hosts, "Details"), el("ul", { className: "hosts" }, ...rows));
}
