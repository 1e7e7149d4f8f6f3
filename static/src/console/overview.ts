// The first page: what runs, what waits, what failed, what comes next, and how the pools and hosts are.

import type { Execution } from "../api";
import { el } from "../dom";
import { reasonWords } from "../outcome";
import { count } from "../words";
import { day, sum, wrongIn } from "./history";
import { byName, hostState, reasonOf } from "./hosts";
import { jobLink, ranOn } from "./links";
import { mark } from "./marks";
import { expected } from "./notifications";
import type { Page } from "./page";
import { command, link, nothing, notice, section, table } from "./parts";
import { poolBars } from "./pools";
import { api, get, logOf, pages, root } from "./server";
import type { FailedJob, History, LateJob, List, Status } from "./shapes";
import { ago, lasting, now, until } from "./times";

const UNDER_WAY = "enqueued,pulling,running";
const ROWS = 8;
const JOBS = 8;
const WENT_WRONG = "failed,timedout,expired";
const DAY = "24h";

interface Facts {
  status: Status;
  /** What runs, before what waits. */
  underWay: Execution[];
  /** The jobs that failed in the last day, the last end first. */
  wrong: List<FailedJob>;
  history: History;
}

export const overview: Page = {
  nav: "overview",
  title: "Overview",
  async load() {
    const list = (status: string): Promise<List<Execution>> => get(api.executions({ status, perPage: String(ROWS) }));
    const [status, running, waiting, wrong, history] = await Promise.all([
      get<Status>(api.status),
      list("pulling,running"),
      list("enqueued"),
      get<List<FailedJob>>(api.failures({ since: DAY, perPage: String(JOBS) })),
      get<History>(api.history),
    ]);
    const underWay = [...running.items, ...waiting.items].slice(0, ROWS);
    const facts = { status, underWay, wrong, history };
    return () => (isEmpty(status) ? welcome(status) : draw(facts));
  },
};

const endOf = (one: Execution): string => one.finishedAt ?? one.scheduledFor;

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
      el("div", {}, now_(facts), failures(facts), day(facts.history)),
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
  for (const { receiver, failingSince, error, paused } of status.webhooks.failing.slice(0, MOST_FAILING)) {
    const box = notice("warn", "No message reaches ", el("code", {}, receiver), " since ", ago(failingSince), `${paused ? ", so it is paused" : ""}: ${error}`);
    box.dataset.key = receiver;
    found.push(box);
  }
  if (status.jobs.late.length) found.push(lateJobs(status.jobs.late));
  return found;
}

const MOST_FAILING = 3;
const MOST_LATE = 5;

/** The jobs that have not succeeded for too long, those that are late for longest first. */
function lateJobs(late: readonly LateJob[]): HTMLElement {
  const rows = late.slice(0, MOST_LATE).map((one) => el("li", {}, jobLink(one.taskId, one.jobId, one.name), " since ", ago(one.lateSince), (one.expectEvery !== null || one.doneBy !== null) && `, ${expected(one.expectEvery, one.doneBy)}`));
  const words = late.length === 1 ? "A job is late" : `${count(late.length)}${late.length === 100 ? " or more" : ""} jobs are late`;
  const box = el("div", { className: "notice warn", "data-key": "late" }, el("div", {}, el("p", {}, el("b", {}, words)), el("ul", {}, ...rows)));
  if (late.length > MOST_LATE) box.append(link(pages.jobs({ late: "1" }), "All of them"));
  return box;
}

const RESTORED = "All dispatch is paused, because the store went back to an earlier state, as after a backup was restored.";

function figures({ status, history }: Facts): HTMLElement {
  const { running, pulling, enqueued } = status.executions;
  const list = (query: Record<string, string>): string => pages.executions(query);
  const rows: [string, string, number, string, string][] = [
    ["running", "Running", running + pulling, "now", list({ status: "pulling,running" })],
    ["enqueued", "Waiting", enqueued, "now", list({ status: "enqueued" })],
    ["failed", "Failed", sum(history.hours, wrongIn), "last 24 h", list({ status: WENT_WRONG, since: DAY })],
    ["done", "Done", sum(history.hours, (hour) => hour.done), "last 24 h", list({ status: "done", since: DAY })],
    ["scheduled", "Scheduled", status.jobs.byStatus?.scheduled ?? status.jobs.scheduled.length, "jobs", pages.jobs({ status: "scheduled" })],
  ];
  const cards = rows.map(([is, name, value, when, href]) =>
    el(
      "div",
      { className: value ? "" : "zero" },
      el("dt", {}, link(href, mark(is, name))),
      el("dd", {}, el("b", {}, count(value)), " ", el("small", {}, when)),
    ),
  );
  return el("dl", { className: "figures", "data-key": "figures" }, ...cards);
}

function now_({ status, underWay }: Facts): HTMLElement {
  const columns = [
    { title: "Status", cell: (one: Execution) => link(logOf(one.taskId, one.jobId, one.executionId), mark(one.status)) },
    { title: "Job", is: "grow" as const, cell: nameOf },
    { title: "Host", wide: true, cell: (one: Execution) => ranOn(one) },
    { title: "For", is: "number" as const, cell: (one: Execution) => since(one) },
  ];
  const content = underWay.length ? table("Executions under way", columns, underWay, (one) => one.executionId) : nothing("Nothing runs or waits.");
  const { running, pulling, enqueued } = status.executions;
  const total = running + pulling + enqueued;
  const more = total > underWay.length ? link(pages.executions({ status: UNDER_WAY }), `All ${count(total)}`) : null;
  return section("Now", more, content);
}

/** How long it has run, or waited; or when it is due. */
function since(one: Execution): HTMLElement {
  if (one.startedAt) return lasting(one.startedAt);
  return Date.parse(one.scheduledFor) > now() ? until(one.scheduledFor) : lasting(one.scheduledFor);
}

function failures({ wrong, history }: Facts): HTMLElement {
  const columns = [
    { title: "Status", cell: ({ lastFailure: last }: FailedJob) => link(logOf(last.taskId, last.jobId, last.executionId), mark(last.status)) },
    {
      title: "Job",
      is: "grow" as const,
      cell: ({ lastFailure: last }: FailedJob) => el("div", {}, nameOf(last), el("div", { className: "reason" }, reason(last))),
    },
    { title: "Times", wide: true, is: "number" as const, cell: ({ failures: times }: FailedJob) => (times > 1 ? `${count(times)} times` : "once") },
    {
      title: "Last",
      is: "number" as const,
      cell: ({ lastFailure: last, failures: times }: FailedJob) => el("div", {}, ago(endOf(last)), times > 1 && el("div", { className: "narrow" }, `${count(times)} times`)),
    },
  ];
  const content = wrong.items.length
    ? table("The last failure of each job in the last 24 hours", columns, wrong.items, ({ jobId }) => jobId)
    : nothing("Nothing failed in the last 24 hours.");
  const failed = sum(history.hours, wrongIn);
  const more = failed > wrong.items.length ? link(pages.executions({ status: WENT_WRONG, since: DAY }), `All ${count(failed)}`) : null;
  const others = wrong.total - wrong.items.length;
  return section("Failures by job", more, content, others > 0 && nothing(`${count(others)} more ${others === 1 ? "job" : "jobs"} failed before these.`));
}

/** Why it failed, as a sentence begins; the status itself stands beside it. */
function reason(one: Execution): string {
  const words = (reasonWords(one) ?? "").replace(/^failed: /, "");
  const code = one.exitCode === null || /exit code/i.test(words) ? "" : `, exit code ${one.exitCode}`;
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}${code}`;
}

const nameOf = (one: Execution): HTMLElement => jobLink(one.taskId, one.jobId, one.jobName);

/** The next due jobs. */
function next(status: Status): HTMLElement {
  const jobs = status.jobs.scheduled.filter((job) => job.nextRunAt).slice(0, JOBS);
  if (!jobs.length) return section("Next due", null, nothing("No job is scheduled. ", link(pages.newJob(), "Schedule one"), "."));
  const rows = jobs.map((job) => el("li", { "data-key": job.jobId }, jobLink(job.taskId, job.jobId, job.name), until(job.nextRunAt!)));
  return section("Next due", link(pages.jobs({ status: "scheduled" }), "All scheduled"), el("ol", { className: "timeline" }, ...rows));
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
