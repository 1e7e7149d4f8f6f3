// A job: what it runs and when, what became of its executions and of its ticks, and what it waits for.

import { type Execution, FINAL, statusWords, type Wait, type Why } from "../api";
import { el } from "../dom";
import { attemptWords, reasonWords, running } from "../outcome";
import { count, duration, isolated, memory, moment, sentence, shortId } from "../words";
import { actions, explained, ofJob } from "./actions";
import { actorOf, BY_PEOPLE, changes } from "./changes";
import { mark } from "./marks";
import type { Page } from "./page";
import { isHeard, lateWords, notifications } from "./notifications";
import { facts, link, nothing, notice, section, table } from "./parts";
import { api, executionOf, get, logOf, pages, Refusal } from "./server";
import { nextRuns } from "./runs";
import { readOnly, type Session, session } from "./session";
import type { Chain, Delivery, Event, EventPage, Job, JobAdvice, JobStats, List, Resources, Schedule, Tick } from "./shapes";
import { options, several } from "./options";
import { afterWords, chainSection } from "./chain";
import { strip } from "./strip";
import { logSection, subjectPage } from "./subject";
import type { Tail } from "./tail";
import { ago, ran, until } from "./times";
import { advised, trends } from "./trends";
import { isWhole, wholeJob } from "./whole";

const EXECUTIONS = 60;
const ROWS = 10;
/** Ticks that made an execution are shown as such. */
const RAN = new Set(["started", "queued", "replaced"]);

interface Facts {
  job: Job;
  who: Session;
  why: Wait[];
  /** What it follows, and what follows it; null where the server does not say. */
  chain: Chain | null;
  /** When it will be late; null where nothing is expected, or it is late. */
  lateAt: string | null;
  ticks: Tick[];
  deliveries: Delivery[];
  /** What people did with it; null where the server does not say. */
  events: Event[] | null;
  /** What its newest runs took; null where the server does not say. */
  stats: JobStats | null;
  /** What these say about its definition; null where the server does not say. */
  advice: JobAdvice | null;
}

/** What a page can do without is not there when the server refuses it. */
function refused(error: unknown): null {
  if (error instanceof Refusal) return null;
  throw error;
}

export const jobPage = (task: string, id: string): Page =>
  subjectPage<Facts>({ nav: "tasks", title: task, job: id, read: () => read(task, id), subjectOf: ({ job, why }) => ofJob(job, fills(why)), draw });

/** Whether a backfill of the job is under way. */
const fills = (why: readonly Wait[]): boolean => why.some((wait) => wait.reason === "backfill");

async function read(task: string, id: string): Promise<Facts | null> {
  if (!isWhole(id)) {
    location.replace(pages.job(task, await wholeJob(task, id)));
    return null;
  }
  const [who, { job }, why, chain, ticks, events, stats, advice] = await Promise.all([
    session(),
    get<{ job: Job }>(api.job(task, id, "", { perPage: String(EXECUTIONS) })),
    get<Why>(api.job(task, id, "why")),
    get<Chain>(api.job(task, id, "chain")).catch(refused),
    get<List<Tick>>(api.job(task, id, "ticks", { perPage: "100" })),
    get<EventPage>(api.events({ job: id, kind: BY_PEOPLE, perPage: "20" })).catch(refused),
    get<JobStats>(api.job(task, id, "stats")).catch(refused),
    get<JobAdvice>(api.job(task, id, "advice")).catch(refused),
  ]);
  document.title = `${isolated(job.name ?? task)} · fastlane`;
  const waitsFor = why.waitingFor.filter((wait) => wait.reason !== "labels" && (wait.reason !== "due" || !job.nextRuns.length));
  const deliveries = await deliveriesOf(job).catch(refused);
  return { job, who, why: waitsFor, chain, lateAt: why.expected?.lateAt ?? null, ticks: ticks.items, deliveries: deliveries ?? [], events: events && events.items, stats, advice };
}

/** The last messages about the job itself, and about its last execution that has ended. */
async function deliveriesOf(job: Job): Promise<Delivery[]> {
  const last = job.executions.find((one) => FINAL.has(one.status));
  const urls = [
    ...(job.spec.expectEvery === null && job.spec.doneBy === null && !job.lateSince ? [] : [api.job(job.taskId, job.id, "deliveries")]),
    ...(last && isHeard(job) ? [`${executionOf(last.taskId, last.jobId, last.executionId)}/deliveries`] : []),
  ];
  const found = await Promise.all(urls.map((url) => get<{ items: Delivery[] }>(url)));
  return found.flatMap(({ items }) => items).sort((one, other) => other.createdAt.localeCompare(one.createdAt)).slice(0, ROWS);
}

function draw({ job, who, why, chain, lateAt, ticks, deliveries, events, stats, advice }: Facts, tail: Tail): HTMLElement[] {
  const unstarted = ticks.filter((tick) => !RAN.has(tick.outcome));
  return [
    head(job, who, fills(why)),
    ...troubles(job),
    ...(why.length ? [waits(why)] : []),
    el(
      "div",
      { className: "columns", "data-key": "columns" },
      el("div", {}, log(job, tail), executions(job), stats && trends(stats), advice && advised(advice), ...(job.schedule.kind === "cron" || unstarted.length ? [missing(unstarted, ticks.length)] : [])),
      el("div", {}, schedule(job, lateAt), chain && chainSection(chain), spec(job), notifications(job, deliveries), events && changes(events), about(job)),
    ),
  ];
}

/** What its service's labels say that it does not follow, that it is late, and why its last run that has ended did not do its work, in full. */
function troubles(job: Job): HTMLElement[] {
  const found: HTMLElement[] = [];
  if (job.source && (job.source.fault || job.source.gone)) {
    const { service, fault, gone } = job.source;
    const words = gone ? `${gone}; the job goes on when that is back` : `the job stays as it was, because the labels of ${service} have faults: ${fault}`;
    const box = notice(gone ? "warn" : "bad", el("b", {}, "Labels: "), el("span", { className: "whole" }, sentence(words)));
    box.dataset.key = "labels";
    found.push(box);
  }
  if (job.lateSince) {
    const box = notice("warn", el("b", {}, "Late"), " since ", ago(job.lateSince), ". ", lateWords(job));
    box.dataset.key = "late";
    found.push(box);
  }
  const last = job.executions.find((one) => FINAL.has(one.status));
  const words = last && last.status !== "stopped" ? reasonOf(last) : "";
  if (!last || !words) return found;
  const code = last.exitCode === null || /exit code/i.test(words) ? null : `exit code ${last.exitCode}`;
  const box = notice(
    "bad",
    el("b", {}, "The last run that ended "),
    el("b", {}, statusWords(last.status)),
    " ",
    ago(last.finishedAt ?? last.createdAt),
    [null, attemptWords(last), last.node && isolated(`on ${last.node}`), code].filter((part, at) => at === 0 || part).join(", "),
    ". ",
    el("span", { className: "whole" }, sentence(words)),
  );
  box.dataset.key = "failure";
  box.append(link(logOf(last.taskId, last.jobId, last.executionId), "Open its log"));
  return [...found, box];
}

/** Why an execution did not do its work; its status and its attempt stand beside that. */
const reasonOf = (one: Execution): string => (reasonWords(one) ?? "").replace(/^(attempt \d+ of \d+ )?failed: /, "");

function head(job: Job, who: Session, filling: boolean): HTMLElement {
  const barred = readOnly(who);
  return el(
    "div",
    { className: "title", "data-key": "title" },
    el("p", { className: "path" }, "Task ", link(pages.task(job.taskId), el("bdi", {}, job.taskId))),
    el(
      "h1",
      {},
      el("bdi", {}, job.name ?? job.taskId),
      " ",
      el("code", { className: "id", title: `job ${job.id}` }, shortId(job.id)),
    ),
    mark(job.status),
    link(logOf(job.taskId, job.id), "Log"),
    barred === null && !job.source && link(pages.newJob({ edit: `${job.taskId}/${job.id}` }), "Edit"),
    barred === null && link(pages.newJob({ like: `${job.taskId}/${job.id}` }), "Another like this"),
    actions(ofJob(job, filling), who),
    explained(ofJob(job, filling)),
  );
}

/** What it waits for, in the server's words. */
function waits(why: readonly Wait[]): HTMLElement {
  const rows = why.map((wait) =>
    el(
      "li",
      {},
      sentence(wait.message),
      wait.since ? el("span", { className: "muted" }, " Since ", ago(wait.since), ".") : null,
      wait.until ? el("span", { className: "muted" }, " That ends ", until(wait.until), " at the latest.") : null,
    ),
  );
  return section("Waiting for", null, el("ul", { className: "waits" }, ...rows));
}

// log

/** The last lines of the newest execution that has started. */
function log(job: Job, tail: Tail): HTMLElement | null {
  const one = job.executions.find((execution) => execution.startedAt);
  if (!one) return null;
  const whole = link(logOf(one.taskId, one.jobId, one.executionId), "Open the log");
  return logSection(one, tail, el("span", {}, attemptWords(one) ? `${attemptWords(one)}, ` : "", "started ", ago(one.startedAt!), " · ", whole));
}

// executions

function executions(job: Job): HTMLElement {
  const all = job.executions;
  if (!all.length) return section("Executions", null, nothing(job.nextRunAt ? "It has not run yet." : "It has never run."));
  const columns = [
    { title: "Status", cell: (one: Execution) => link(logOf(one.taskId, one.jobId, one.executionId), mark(one.status)) },
    { title: "Started", is: "grow" as const, cell: started },
    { title: "Memory", wide: true, cell: (one: Execution) => memoryShare(one, job.spec.resources) },
    { title: "Processor", wide: true, cell: (one: Execution) => processor(one, job.spec.resources) },
    { title: "Ran", is: "number" as const, cell: ran },
  ];
  const shown = all.slice(0, ROWS);
  const words = all.length < job.executionCount ? `the last ${count(all.length)} of ${count(job.executionCount)}` : count(job.executionCount);
  return section("Executions", words, strip(all), table("The last executions", columns, shown, (one) => one.executionId));
}

function started(one: Execution): HTMLElement {
  const reason = reasonOf(one);
  const attempt = one.attempt > 1 || one.status === "failed" ? attemptWords(one) : null;
  return el(
    "div",
    {},
    one.startedAt ? ago(one.startedAt) : el("span", { className: "muted" }, "not started"),
    attempt && el("span", { className: "muted" }, ` · ${attempt}`),
    (one.target?.name ?? one.node) && el("span", { className: "muted" }, " · on ", el("bdi", {}, one.target?.name ?? one.node)),
    reason && el("div", { className: "reason" }, sentence(reason)),
    one.usage && el("div", { className: "narrow" }, used(one)),
  );
}

/** What it used, where there is no room for the columns. */
function used({ usage }: Execution): string {
  const time = usage!.cpuSeconds === null ? null : `${duration(usage!.cpuSeconds * 1_000)} of CPU`;
  return [memory(usage!.memoryPeakBytes), time].filter(Boolean).join(" · ");
}

/** The most memory that it used, beside what it may use. */
function memoryShare(one: Execution, may: Resources | null): Node | null {
  if (!one.usage) return null;
  return share(memory(one.usage.memoryPeakBytes), may?.memory ? one.usage.memoryPeakBytes / may.memory : null, may?.memory ? memory(may.memory) : "");
}

/** The processors that it used on average, beside what it may use. */
function processor(one: Execution, may: Resources | null): Node | null {
  const time = running(one);
  if (!one.usage || one.usage.cpuSeconds === null || !time) return null;
  const used = one.usage.cpuSeconds / (time / 1_000);
  const words = duration(one.usage.cpuSeconds * 1_000);
  return may?.cpus ? share(count(Math.round(used * 10) / 10), used / may.cpus, `${count(may.cpus)} ${may.cpus === 1 ? "CPU" : "CPUs"}`, `${words} of processor time`) : share(words, null, "");
}

/** An amount, and where there is a limit, how much of it that is. */
function share(words: string, part: number | null, limit: string, title?: string): HTMLElement {
  if (part === null) return el("span", {}, words);
  const percent = Math.round(Math.min(1, part) * 100);
  const level = el("i", { className: percent >= 90 ? "high" : "" });
  level.style.width = `${percent}%`;
  return el("span", { className: "share", title: title ?? `${percent} % of ${limit}` }, words, el("small", {}, ` of ${limit}`), el("span", { className: "meter", "aria-hidden": "true" }, level));
}

// ticks

/** `known`: how many due times are on record. */
function missing(ticks: readonly Tick[], known: number): HTMLElement {
  const columns = [
    { title: "Outcome", cell: (tick: Tick) => mark(tick.outcome) },
    { title: "Reason", is: "grow" as const, cell: (tick: Tick) => (tick.reason ? sentence(tick.reason) : "") },
    { title: "Due", is: "number" as const, cell: due },
  ];
  const content = ticks.length
    ? table("Due times at which it did not run", columns, ticks.slice(0, ROWS), (tick) => tick.id)
    : nothing(noneMissed(known));
  const words = ticks.length > ROWS ? `the last ${count(ROWS)}` : null;
  return section("Ticks that did not run", words, content);
}

/** What is true of a ledger in which each of this many due times made an execution: older ones may be gone. */
function noneMissed(known: number): string {
  if (!known) return "It has not been due yet.";
  return known === 1 ? "Its only due time on record made an execution." : `Each of the last ${count(known)} due times on record made an execution.`;
}

function due(tick: Tick): HTMLElement {
  const many = tick.count > 1 ? ` (${count(tick.count)}${tick.atLeast ? " or more" : ""})` : "";
  return el("span", {}, ago(tick.due), many);
}

// what it is

const KINDS: Record<Schedule["kind"], string> = { now: "Once, when it was posted", at: "Once, at a given time", cron: "Repeatedly", manual: "When somebody runs it" };

function schedule(job: Job, lateAt: string | null): HTMLElement {
  const { kind, description, cron, timezone, overlap, catchUp, startAt, entries, resolved, spread, delay, skipDates } = job.schedule;
  const rows = facts([
    ["Cron", entries ? el("ul", { className: "envs" }, ...entries.map((one) => el("li", {}, el("code", {}, one.cron), ` ${one.timezone}`))) : cron && el("code", {}, cron)],
    ["In numbers", resolved && el("code", {}, resolved)],
    ["Delayed", spread && delay !== undefined && `by ${duration(delay * 1_000)}, of up to ${duration(spread * 1_000)}`],
    ["Not on", skipDates?.join(", ")],
    ["Time zone", entries ? null : timezone],
    ["At", startAt && moment(startAt)],
    ["While one runs", overlap && (OVERLAPS[overlap] ?? overlap)],
    ["Expected", (job.spec.expectEvery !== null || job.spec.doneBy !== null) && el("span", {}, job.spec.expectEvery !== null ? `a success every ${duration(job.spec.expectEvery * 1_000)}` : `a success of each tick by ${job.spec.doneBy}`, lateAt && el("span", { className: "muted" }, " · late ", until(lateAt), " without one"))],
    ["Paused after", ticks(job.spec.pauseAfter)],
    ["Notifies after", ticks(job.spec.notifyAfter)],
    ["Missed ticks", catchUp && (catchUp === "latest" ? "the latest runs late" : "none runs")],
  ]);
  return section(
    "Schedule",
    null,
    el("p", { className: "lead" }, job.schedule.after ? afterWords(job.schedule) : (description ?? KINDS[kind])),
    rows,
    ...(job.nextRuns.length ? nextRuns(job.nextRuns) : [nothing(noRun(job))]),
  );
}

const OVERLAPS: Record<string, string> = { allow: "the next one runs beside it", skip: "the next one is skipped", queue: "the next one waits", replace: "it is stopped for the next one" };

const ticks = (failed: number | null): string | null => failed === null ? null : `${count(failed)} failed ${failed === 1 ? "tick" : "ticks"} in a row`;

function noRun(job: Job): string {
  if (job.status === "paused") return "It is paused, so no run is due.";
  if (job.schedule.after) return "No run is due: it runs after other jobs.";
  if (job.schedule.kind === "manual") return "No run is due: it runs when somebody runs it.";
  return job.schedule.kind === "cron" ? "No run is due: the schedule was stopped." : "No further run is due.";
}

function spec(job: Job): HTMLElement {
  const { image, service, command, envs, retries, timeout, expiration, expiresIn, priority, concurrency, concurrencyKey, unique, everywhere, resources } = job.spec;
  const names = Object.entries(envs);
  const rows = facts([
    ["Image", image === null ? null : el("code", {}, image)],
    ["Runs as service", service === null ? null : el("code", {}, service)],
    ["Command", command === null ? `the ${service === null ? "image" : "service"}'s own` : el("code", {}, command)],
    ["Environment", names.length ? el("ul", { className: "envs" }, ...names.map(([name, value]) => el("li", {}, el("code", {}, `${name}=${value}`)))) : null],
    ["Memory", resources?.memory ? `up to ${memory(resources.memory)}` : null],
    ["Processors", resources?.cpus ? `up to ${count(resources.cpus)}` : null],
    ["Timeout", timeout === null ? "the pool's or the server's" : duration(timeout * 1_000)],
    ["Retries", retries ? `up to ${count(retries)}` : "none"],
    ["Concurrency", concurrency && `${count(concurrency)} ${concurrencyKey === null ? "of its task" : `with the key ${concurrencyKey}`} at once`],
    ["Unique", unique ? "while it waits, no equal job is accepted" : null],
    ["Everywhere", everywhere === null ? null : `each tick runs on every ${everywhere === "nodes" ? "node" : "swarm"} of its pool at once`],
    ["Priority", priority ? String(priority) : null],
    ["Starts by", expiration && moment(expiration)],
    ["Starts within", expiresIn !== null && duration(expiresIn * 1_000)],
    ["Reserves", several(Object.entries(resources?.reserve.generic ?? {}).map(([name, value]) => `${count(value)} ${name}`))],
    ...options(job.spec.container),
  ]);
  return section("What it runs", null, rows);
}

function about(job: Job): HTMLElement {
  const by = actorOf(job.createdBy);
  const changedBy = actorOf(job.requestedBy);
  const labels = Object.entries(job.labels).map(([name, value]) => `${name}=${value}`);
  const rows = facts([
    ["Id", el("code", {}, job.id)],
    ["Declared by", job.source ? el("span", {}, "the labels of the service ", el("code", {}, job.source.service)) : null],
    ["Labels", labels.length ? labels.join(", ") : null],
    ["Created", el("span", {}, ago(job.createdAt), by ? ` by ${by}` : "")],
    ["Changed", job.lastModifiedAt === job.createdAt ? null : el("span", {}, ago(job.lastModifiedAt), changedBy ? `, by ${changedBy} as it is now` : "")],
    ["As JSON", link(job.url, "the API's answer")],
  ]);
  return section("About", null, rows);
}
