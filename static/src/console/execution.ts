// One execution, the page to which an alert leads: how it ended and why, the end of its log, where it ran, and the attempts beside it.

import { type Execution, FINAL, type Wait } from "../api";
import { el } from "../dom";
import { attemptWords, reasonWords, retryWords } from "../outcome";
import { duration, isolated, memory, moment, sentence, shortId, size } from "../words";
import { actions, type Subject } from "./actions";
import { mark } from "./marks";
import type { Page } from "./page";
import { facts, link, nothing, notice, section, table } from "./parts";
import { api, executionOf, get, logOf, pages } from "./server";
import { type Session, session } from "./session";
import type { Job } from "./shapes";
import { logSection, subjectPage } from "./subject";
import type { Tail } from "./tail";
import { ago, ran } from "./times";
import { isWhole, wholeExecution, wholeJob } from "./whole";

/** How many of the job's newest executions are read: the attempts of this run are shown, as far as they are among these. */
const EXECUTIONS = 60;

interface Facts {
  one: Execution;
  job: Job;
  why: Wait[];
  who: Session;
}

const subjectOf = ({ job, one }: Facts): Subject => ({ job, one, verbs: ["stop-run", "again"] });

export const executionPage = (task: string, job: string, id: string): Page =>
  subjectPage<Facts>({ nav: "executions", title: task, job, read: () => read(task, job, id), subjectOf, draw });

async function read(task: string, jobId: string, id: string): Promise<Facts | null> {
  if (!isWhole(jobId) || !isWhole(id)) {
    const whole = await wholeJob(task, jobId);
    location.replace(pages.execution(task, whole, await wholeExecution(task, whole, id)));
    return null;
  }
  const [who, { execution: one }, { job }] = await Promise.all([
    session(),
    get<{ execution: Execution }>(executionOf(task, jobId, id)),
    get<{ job: Job }>(api.job(task, jobId, "", { perPage: String(EXECUTIONS) })),
  ]);
  const { waitingFor: why } = FINAL.has(one.status) ? { waitingFor: [] } : await get<{ waitingFor: Wait[] }>(`${executionOf(task, jobId, id)}/why`);
  document.title = `${isolated(job.name ?? task)}, execution ${shortId(id)} · fastlane`;
  return { one, job, why, who };
}

function draw(shown: Facts, tail: Tail): HTMLElement[] {
  return [
    head(shown),
    ...notices(shown),
    el(
      "div",
      { className: "columns", "data-key": "columns" },
      el("div", {}, log(shown.one, tail), attempts(shown)),
      el("div", {}, times(shown.one), outputs(shown.one), place(shown.one)),
    ),
  ];
}

function head(shown: Facts): HTMLElement {
  const { one, job, who } = shown;
  const { taskId, jobId, executionId } = one;
  return el(
    "div",
    { className: "title", "data-key": "title" },
    el(
      "p",
      { className: "path" },
      "Task ",
      link(pages.task(taskId), el("bdi", {}, taskId)),
      " · Job ",
      link(pages.job(taskId, jobId), job.name === null ? null : el("bdi", {}, `${job.name} `), el("code", { className: "id", title: `job ${jobId}` }, shortId(jobId))),
    ),
    el("h1", {}, "Execution ", el("code", { className: "id", title: `execution ${executionId}` }, shortId(executionId))),
    mark(one.status),
    link(logOf(taskId, jobId, executionId), "Log"),
    actions(subjectOf(shown), who),
  );
}

/** Why it failed, what it waits for, and whether there is a newer one. */
function notices({ one, job, why }: Facts): HTMLElement[] {
  const reason = reasonWords(one);
  const newest = job.executions[0];
  const known = job.executions.some((other) => other.executionId === one.executionId);
  const retries = known ? retryWords(one, following({ one, job }), FINAL.has(job.status)) : "";
  const words = reason && `${sentence(reason)} ${retries}`.trim();
  return [
    ...(words ? [notice("bad", words)] : []),
    ...why.map((wait) => notice("info", sentence(wait.message))),
    ...(newest && newest.executionId !== one.executionId && newest.createdAt > one.createdAt ? [newer(newest)] : []),
  ];
}

function newer(newest: Execution): HTMLElement {
  const box = notice("info", "The job has run again since. ");
  box.append(link(pages.execution(newest.taskId, newest.jobId, newest.executionId), "The newest execution"));
  return box;
}

/** The attempt after this one, if there is one. */
function following({ one, job }: Pick<Facts, "one" | "job">): { attempt: number; due: number; begun: boolean } | null {
  const after = job.executions.find((other) => other.queueJobId === one.queueJobId && other.attempt === one.attempt + 1);
  return after ? { attempt: after.attempt, due: Date.parse(after.scheduledFor), begun: true } : null;
}

function log(one: Execution, tail: Tail): HTMLElement {
  const whole = link(logOf(one.taskId, one.jobId, one.executionId), "Open the log");
  if (!one.startedAt) return section("Log", null, nothing(FINAL.has(one.status) ? "It never started, so it has no log." : "It has not started yet."));
  return logSection(one, tail, whole);
}

/** The attempts of its run, where there are several. */
function attempts({ one, job }: Facts): HTMLElement | null {
  const all = job.executions.filter((other) => other.queueJobId === one.queueJobId);
  if (all.length < 2) return null;
  const columns = [
    { title: "Attempt", cell: numbered(one) },
    { title: "Status", cell: (other: Execution) => mark(other.status) },
    { title: "Started", is: "grow" as const, cell: (other: Execution) => (other.startedAt ? ago(other.startedAt) : "not started") },
    { title: "Ran", is: "number" as const, cell: ran },
  ];
  return section("Attempts of this run", null, table("The attempts of this run", columns, all, (other) => other.executionId));
}

/** The number of an attempt, which leads to its page, but for this one's. */
const numbered = (one: Execution) => (other: Execution): HTMLElement => {
  const words = `Attempt ${other.attempt}`;
  return other.executionId === one.executionId ? el("b", {}, words) : link(pages.execution(other.taskId, other.jobId, other.executionId), words);
};

function times(one: Execution): HTMLElement {
  const by = one.requestedBy?.user ?? one.requestedBy?.address;
  const rows = facts([
    ["Exit code", one.exitCode === null ? null : String(one.exitCode)],
    ["Attempt", attemptWords(one)],
    ["Due", moment(one.scheduledFor)],
    ["Started", one.startedAt && moment(one.startedAt)],
    ["Ended", one.finishedAt && moment(one.finishedAt)],
    ["Ran", ran(one)],
    ["Stop requested", one.stopRequestedAt && moment(one.stopRequestedAt)],
    ["Requested by", by],
  ]);
  return section("How it went", null, rows);
}

/** What its log has set, where that is anything. */
function outputs(one: Execution): HTMLElement | null {
  const all = Object.entries(one.outputs);
  const { droppedOutputs: dropped } = one;
  if (!all.length && !dropped) return null;
  const values = all.map(([name, value]): [string, HTMLElement] => [name, el("code", { className: "output" }, value)]);
  const words = dropped && `Without room for: ${dropped.join(", ")}. All outputs together may have 16 KiB.`;
  return section("Outputs", null, el("div", {}, facts(values), words && notice("warn", words)));
}

function place(one: Execution): HTMLElement {
  const { usage, logInfo } = one;
  const code = (text: string | null): HTMLElement | null => (text === null ? null : el("code", {}, text));
  const rows = facts([
    ["Runs as service", one.service && el("span", {}, code(one.service), one.serviceVersion && ` (version ${one.serviceVersion.version})`)],
    ["Image", code(one.image)],
    ["Digest", code(one.imageDigest)],
    ["Command", one.command === null ? one.service === null ? "the image's own" : "the service's own" : code(one.command)],
    ["Values", one.parameters && el("ul", { className: "envs" }, ...Object.entries(one.parameters).map(([name, value]) => el("li", {}, el("code", {}, `${name}=${value}`))))],
    ["Target", one.target?.name],
    ["Host", one.host],
    ["Node", one.node],
    ["Pool", one.pool],
    ["Memory", usage && `${memory(usage.memoryPeakBytes)} at most`],
    ["Processor time", usage && usage.cpuSeconds !== null && duration(usage.cpuSeconds * 1_000)],
    ["Log", one.startedAt && `${size(logInfo.stdoutBytes)} stdout, ${size(logInfo.stderrBytes)} stderr`],
    ["Service", code(one.serviceId)],
    ["Container", code(one.containerId)],
    ["Id", code(one.executionId)],
    ["As JSON", link(one.url, "the API's answer")],
  ]);
  return section("What ran, and where", null, rows);
}
