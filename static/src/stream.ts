// The page of a live log: joins the connection, the log, and the facts about the job.

import "./stream.css";
import { drawExecutions, drawFacts, drawGist, drawPlace, drawStatus } from "./log/about";
import { type Execution, FINAL, place, read, type Wait } from "./api";
import type { Job } from "./console/shapes";
import { Actions } from "./log/actions";
import { Address } from "./log/address";
import { Connection, type Message, type State } from "./log/connection";
import { forget, isVisitor, session } from "./console/session";
import { tickTimes } from "./console/times";
import { el, say, the } from "./dom";
import { Executions } from "./log/executions";
import { JobEvents } from "./log/jobevents";
import { Link, RECONNECT } from "./log/link";
import { Log } from "./log/log";
import { notice, tick } from "./log/notices";
import { LAST_LINES, planFor } from "./log/plan";
import { attemptWords, headingWords, type NextAttempt, reasonWords, retryWords } from "./outcome";
import { equip, press } from "./log/tools";
import { hear } from "./tabs";
import { count, moment, sentence, shortId } from "./words";

/** Milliseconds between looks at the job, where events tell of it, and where they don't. (Reasons to wait change without an event.) */
const LOOK_EVERY = 20_000;
const LOOK_EVERY_WITHOUT_EVENTS = 5_000;
/** Older executions that are read again each time, because they have not ended. */
const MOST_STALE = 5;

const here = place(new URL(location.href));

let job: Job | null = null;
const executions = new Executions();
/** The id of the execution whose log arrives; on the page of an execution, always its own. */
let current: string | null = here.execution;
/** The execution whose state is shown: on a job's page, the last attempt that has started or ended. */
let one: Execution | null = null;
/** The attempt after `one`, when one is to follow. */
let next: NextAttempt | null = null;
/** Whether the connection was begun. */
let following = false;
let olderPage = 1;
let lookTimer = 0;
let drawing = 0;
/** What of the log is not asked for: all but the last lines of an execution, and this many attempts. */
let partial: string | null = null;
let skipped = 0;

const log = new Log({
  heading: (id, attempt) => headingWords(executions.get(id), attempt),
  isAnnotated: (id) => (executions.get(id) ?? job?.spec)?.annotations ?? true,
  onChange: drawAmount,
  onFollow: (following) => following && address.loadRest(),
  onFull: () => connection.hold(),
});
const actions = new Actions((refusal) => (refusal?.status === 401 ? connection.refuse(401) : void look()));
const link = new Link({ started: () => Boolean(lastLogged()), existed, connect: () => connection.now(), onShow: showLink });
const connection = new Connection({
  url: socketUrl(),
  check: look,
  onMessage: receive,
  onState: (state) => link.draw(state),
});

const jobEvents = new JobEvents(here, () => void look());
const address = new Address(log, connection, here, () => lastLogged()?.executionId ?? current);

function receive(message: Message): void {
  link.lasts();
  if ("cursor" in message) {
    arrive(message.cursor.split(":", 1)[0]!);
    log.add(message.stream, message.time, message.text);
  } else if (message.event === "attempt") {
    arrive(message.executionId, message.attempt);
  } else if (message.event === "end") {
    log.finish();
  }
}

/** The log of this execution begins to arrive. */
function arrive(id: string, attempt?: number): void {
  if (id === current) return;
  head(id, attempt);
  void look();
}

/** On a job's page, gives an attempt a heading if there are, or may be, several. */
function head(id: string, attempt?: number): void {
  current = id;
  const known = executions.get(id);
  const number = attempt ?? known?.attempt ?? 1;
  if (number > 1 || (known?.retries ?? job?.spec.retries ?? 0) > 0) {
    const before = known && !log.headed ? executions.attempts(known).filter((one) => one.attempt > skipped && one.attempt < number) : [];
    for (const one of before) if (one.startedAt) log.begin(one.executionId, one.attempt);
    log.begin(id, number);
  }
  log.expect(id, id !== partial);
  if (!log.marked && !here.execution) address.open();
}

// requests

function socketUrl(): URL {
  const url = new URL("ws", here.logUrl);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

/** Reads the job again, and what it waits for; returns the HTTP status, or null without an answer. */
async function look(): Promise<number | null> {
  clearTimeout(lookTimer);
  const answer = await read<{ job: Job }>(here.jobUrl);
  if (answer.body) {
    job = answer.body.job;
    executions.update(job.executions, job.executionCount);
    await Promise.all(executions.stale.slice(0, MOST_STALE).map((stale) => lookAt(stale.executionId)));
    if (current && !executions.get(current)) await lookAt(current);
    one = here.execution ? (executions.get(here.execution) ?? null) : executions.state(current);
    if (here.execution && !one) return 404;
    const logged = lastLogged();
    if (following && !current && logged) head(logged.executionId);
    await drawAll();
  } else if (answer.status === null) {
    connection.suspect();
  }
  void followEvents();
  const delay = answer.status === 404 ? null : nextLook();
  if (delay !== null) lookTimer = window.setTimeout(() => !document.hidden && void look(), delay);
  return answer.status;
}

/** Follows the events of the job from now on. Who sees this page only, by a ticket, may not. */
async function followEvents(): Promise<void> {
  const who = await session().catch(() => null);
  if (who && !isVisitor(who) && isThere()) jobEvents.open();
}

async function lookAt(id: string): Promise<void> {
  const answer = await read<{ execution: Execution }>(new URL(`executions/${id}/`, here.jobUrl));
  if (answer.body) executions.add([answer.body.execution]);
}

/** Milliseconds until the job may have changed; null when it will not change by itself. */
function nextLook(): number | null {
  const every = jobEvents.live ? LOOK_EVERY : LOOK_EVERY_WITHOUT_EVENTS;
  if (connection.state.is !== "done" || executions.unfinished.length) return every;
  if (!job?.nextRunAt) return null;
  return Math.min(Math.max(Date.parse(job.nextRunAt) - Date.now() + 1_500, every), 86_400_000);
}

// display

async function drawAll(): Promise<void> {
  if (!job) return;
  drawGist(one);
  drawFacts(one, job);
  drawExecutions(executions.all, job.executionCount, one?.executionId ?? null, here);
  drawDownload();
  the("runs-label").hidden = here.execution !== null || job.schedule.kind !== "cron";
  actions.draw(job, one);
  log.drawHeadings();
  drawAmount();
  if (next && next.attempt !== (one?.attempt ?? 0) + 1) next = null;
  const waits = !one || !FINAL.has(one.status) ? !one?.startedAt : connection.state.is !== "done" || here.execution;
  const number = ++drawing;
  const why = waits ? (await read<{ waitingFor: Wait[] }>(new URL("why", here.logUrl))).body?.waitingFor : null;
  if (number !== drawing || !isThere()) return; // a later one knows more
  drawState(why ?? []);
  drawWhy(why ?? []);
}

/** Shows how it is with the execution, and what comes next. */
function drawState(why: Wait[]): void {
  next = one && attemptAfter(one, why);
  drawChip();
  drawEnd();
}

/** The attempt after this one: as an execution, or before there is one, as what the job waits for. */
function attemptAfter(before: Execution, why: Wait[]): NextAttempt | null {
  const after = executions.after(before);
  const begun = Boolean(after?.startedAt) || FINAL.has(after?.status ?? "");
  if (after) return { attempt: after.attempt, due: Date.parse(after.scheduledFor), begun };
  const retry = before.status === "failed" ? why.find((wait) => wait.reason === "retry" && wait.until) : null;
  return retry ? { attempt: before.attempt + 1, due: Date.parse(retry.until!), begun: false } : null;
}

/** Shows the status. On a job's page, the next attempt's status replaces the status of a failed one. */
function drawChip(): void {
  if (!job || !isThere()) return;
  const retries = !here.execution && next && !next.begun;
  if (one?.stopRequestedAt && !FINAL.has(one.status)) drawStatus("stopping", called());
  else if (retries && next!.due > Date.now()) drawStatus("retry", called(), next!.due);
  else if (retries) drawStatus(executions.after(one!)?.status ?? "enqueued", called());
  else drawStatus(here.execution || one?.startedAt ? (one?.status ?? job.status) : job.status, called());
}

/** The job's name, or its task when it has none. */
function called(): string {
  return job?.name ?? here.task;
}

function isThere(): boolean {
  return connection.state.is !== "missing" && connection.state.is !== "barred";
}

/** Shows what it waits for. The wait for a retry is part of how the attempt before it ended. */
function drawWhy(why: Wait[]): void {
  const waits = why.filter((wait) => wait.reason !== "retry" || !next);
  const last = waits.at(-1)?.until;
  const until = last ? Date.parse(last) : null;
  const words = waits.map((wait) => sentence(wait.message));
  if (until) words.push(words.pop()!.replace(/\.$/, ","));
  const again = connection.state.is === "waiting" ? { words: RECONNECT, act: () => connection.now() } : undefined;
  notice("why", words.length ? { tone: "info", words, until, button: one?.startedAt ? undefined : again } : null);
}

/** The execution whose log is the last on this page; null before anything has started. */
function lastLogged(): Execution | null {
  if (here.execution) return one?.startedAt ? one : null;
  return (one && executions.lastStarted(one)) ?? null;
}

/** What is followed, when the page has seen it. */
function existed(): "job" | "execution" | null {
  if (here.execution) return one ? "execution" : null;
  return job ? "job" : null;
}

/** Shows how the execution ended, and what comes next. */
function drawEnd(): void {
  const over = connection.state.is === "done" && job && !here.execution;
  const reason = one && reasonWords(one);
  const coming = next && !next.begun ? next.due : null;
  const words = reason ? [`${sentence(reason)} ${retryWords(one!, next, Boolean(over))}`.trim()] : [];
  notice("failure", reason ? { tone: coming ? "warn" : "bad", words, until: coming } : null);
  const run = over && job!.nextRunAt ? Date.parse(job!.nextRunAt) : null;
  notice("next", run ? { tone: "info", words: [`Next run: ${moment(job!.nextRunAt!)},`], until: run } : null);
  const newest = newestStarted();
  const newer = over && newest && one && newest.queueJobId !== one.queueJobId && newest.createdAt > one.createdAt;
  if (newer && keepsFollowing()) return moveOn(newest);
  const act = (): void => moveOn(newestStarted()!); // which may be another by then
  notice("newer", newer ? { tone: "info", words: ["A newer run has started."], button: { words: "Follow it", act } } : null);
}

const newestStarted = (): Execution | undefined => executions.all.find((execution) => execution.startedAt);

/** Whether the page goes on to the next run by itself: of a schedule, if someone chose that, and while they look at the end of the log. */
function keepsFollowing(): boolean {
  return the<HTMLInputElement>("runs").checked && job?.schedule.kind === "cron" && log.list.following;
}

/** Goes on to the log of a newer run. */
function moveOn(to: Execution): void {
  for (const key of ["newer", "next", "failure"] as const) notice(key, null);
  [current, partial, skipped, next] = [null, null, 0, null];
  if (location.hash) history.replaceState(null, "", new URL("stream", here.jobUrl)); // a line of the run before
  log.restart();
  log.release();
  log.list.follow(true);
  head(to.executionId);
  connection.begin({ from: `${to.executionId}:0` });
  say(`Now the run that started at ${moment(to.startedAt!)}`);
}

/** Says which part of the log is not shown. */
function drawKept(): void {
  const { dropped } = log.counts;
  const words: string[] = [];
  if (one?.logInfo.truncated) words.push("The log is not complete: it was longer than the server keeps, or a part of it was lost.");
  if (partial) words.push(`Only the last ${count(LAST_LINES)} lines are shown, without their numbers. Download has them all.`);
  if (skipped) words.push(`The log is long. Attempts before attempt ${skipped + 1} are not shown; the list of executions leads to them.`);
  if (!partial && dropped) words.push(`The first ${count(dropped)} lines are no longer shown. Download has them all.`);
  notice("kept", words.length ? { tone: "warn", words } : null);
}

function drawAmount(): void {
  drawKept();
  address.draw();
  drawNothing();
  const groups = the("groups");
  groups.hidden = !log.grouped.any;
  const words = log.grouped.folded ? "Open all groups" : "Fold all groups";
  if (groups.textContent !== words) groups.textContent = words;
}

function drawNothing(): void {
  const place = the("nothing");
  const is = connection.state.is;
  const { all, shown, folded } = log.counts;
  place.hidden = shown || folded;
  if (place.hidden) return;
  let words = "Waiting for the first line.";
  if (is === "barred") words = "Nothing can be shown.";
  else if (is === "missing") words = existed() ? "Its log was deleted with it." : `This ${here.execution ? "execution" : "job"} does not exist.`;
  else if (all) words = "No matching lines.";
  else if (is === "done") words = lastLogged() ? "There was no output." : "It never ran.";
  else if (!lastLogged()) words = "Nothing has started yet.";
  if (place.firstChild?.textContent === words) return;
  const hint = is === "missing" && !existed() ? el("p", {}, "Check its address. It may also have been deleted before.") : "";
  place.replaceChildren(el("p", {}, words), hint);
}

function showLink(state: State): void {
  if (state.is === "missing" || state.is === "barred") {
    drawStatus(state.is === "missing" && existed() ? "deleted" : state.is, called());
    document.body.classList.add("gone");
    jobEvents.close();
    for (const key of ["why", "next", "newer"] as const) notice(key, null);
  }
  if (state.is === "open" || state.is === "done") void look();
  drawAmount();
}

function drawDownload(): void {
  const link = the<HTMLAnchorElement>("download");
  const stream = the<HTMLSelectElement>("shown").value;
  const path = stream === "stdout" || stream === "stderr" ? stream : "logs?interleaved=1";
  const logged = lastLogged();
  const attempt = logged && attemptWords(logged);
  link.title = attempt ? `Download the log of ${attempt}` : "";
  if (!logged) {
    link.removeAttribute("href");
    link.setAttribute("aria-disabled", "true");
    return;
  }
  link.removeAttribute("aria-disabled");
  link.href = new URL(`executions/${logged.executionId}/${path}`, here.jobUrl).href;
  const task = here.task.replaceAll(/[^\w.-]+/g, "-").slice(0, 60);
  link.download = `${task}-${shortId(logged.executionId)}.${stream === path ? stream : "log"}.txt`;
}

async function showOlder(): Promise<void> {
  const url = new URL(here.jobUrl);
  url.searchParams.set("page", String(++olderPage));
  url.searchParams.set("perPage", "20");
  const answer = await read<{ job: Job }>(url);
  executions.add(answer.body?.job.executions ?? []);
  if (job) drawExecutions(executions.all, job.executionCount, one?.executionId ?? null, here);
  if (!answer.body) the("older").hidden = true;
}

function everySecond(): void {
  tick();
  tickTimes();
  drawChip();
  drawGist(one);
  const words = log.takeAloud();
  if (words) the("aloud-lines").textContent = words;
}

async function start(): Promise<void> {
  if (location.search) history.replaceState(null, "", location.pathname + location.hash); // a ticket that was not accepted
  drawPlace(here);
  equip(log, drawDownload, (line, extend) => address.point(line, extend));
  addEventListener("hashchange", () => address.open());
  press("older", () => void showOlder());
  document.addEventListener("visibilitychange", () => (document.hidden ? jobEvents.close() : void look()));
  addEventListener("pagehide", () => jobEvents.close());
  hear(here.root, (change) => {
    forget();
    if (change === "in") goOn();
    if (change === "out" && document.querySelector(".account")) connection.refuse(401);
  });
  setInterval(everySecond, 1_000);
  if (document.activeElement === document.body) focusLog();
  const status = await look();
  if (status === 404 || status === 401 || status === 403) {
    connection.refuse(status);
    return;
  }
  await follow();
  following = true;
}

/** Follows the log from its start: on a job's page, through all attempts. Of more than is sensible, only the end. */
async function follow(): Promise<void> {
  const last = lastLogged();
  if (here.execution) log.expect(here.execution, true);
  address.open();
  if (!last) return connection.begin();
  const named = log.markedAre !== null;
  if (!here.execution && executions.attempts(last)[0]!.attempt > 1) await readMore();
  const attempts = here.execution ? [last] : executions.attempts(last).filter((attempt) => attempt.startedAt);
  const plan = planFor(attempts, named);
  skipped = here.execution ? 0 : plan.skipped;
  partial = plan.whole ? null : plan.first.executionId;
  if (!here.execution) head(plan.first.executionId);
  else log.expect(here.execution, plan.whole);
  if (!plan.whole) connection.begin({ tail: LAST_LINES });
  else connection.begin(here.execution ? {} : { from: `${plan.first.executionId}:0` });
}

/** Has the keyboard scroll the log from the start. Its frame appears with the first key. */
function focusLog(): void {
  const place = the("log");
  place.classList.add("untouched");
  for (const kind of ["keydown", "blur"]) place.addEventListener(kind, () => place.classList.remove("untouched"), { once: true });
  place.focus({ preventScroll: true });
}

/** Goes on with the log after someone has logged in. */
function goOn(): void {
  void actions.ask();
  if (isThere()) return;
  if (!following) return location.reload();
  document.body.classList.remove("gone");
  connection.resume();
  void look();
}

/** Reads more executions, because the first attempts are not among the newest ones. */
async function readMore(): Promise<void> {
  const url = new URL("executions", here.jobUrl);
  url.searchParams.set("perPage", "100");
  executions.add((await read<{ items: Execution[] }>(url)).body?.items ?? []);
}

void start();
