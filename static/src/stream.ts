// The page of a live log: joins the connection, the log, and the facts about the job.

import "./stream.css";
import "./windows.css";
import { drawExecutions, drawFacts, drawGist, drawPlace, drawStatus } from "./about";
import { type Execution, FINAL, type Job, place, read, type Wait } from "./api";
import { Connection, type Message, type State } from "./connection";
import { el, the } from "./dom";
import { Link, RECONNECT } from "./link";
import { Log } from "./log";
import { notice, tick } from "./notices";
import { reasonWords, retryWords } from "./outcome";
import { equip, press } from "./tools";
import { count, isolated, moment, shortId } from "./words";

/** For a log of more than this many bytes, the page asks for the last lines only. */
const LARGE = 48_000_000;
const LAST_LINES = 100_000;
const LOOK_EVERY = 5_000;

const here = place(new URL(location.href));

let job: Job | null = null;
/** The id of the execution that is followed; `one` has its details. */
let followed: string | null = here.execution;
let one: Execution | null = null;
let older: Execution[] = [];
let olderPage = 1;
let lookTimer = 0;
let whole = true;

const log = new Log({ onChange: drawAmount });
const link = new Link({ started: () => Boolean(one?.startedAt), existed, connect: () => connection.now(), onShow: showLink });
const connection = new Connection({
  url: socketUrl(),
  check: look,
  onMessage: receive,
  onState: (state) => link.draw(state),
  onRestart: () => log.restart(),
});

function receive(message: Message): void {
  link.lasts();
  if ("cursor" in message) {
    const id = message.cursor.split(":", 1)[0]!;
    if (id !== followed) changeTo(id);
    log.add(message.stream, message.time, message.text);
  } else if (message.event === "attempt") {
    log.note(`Attempt ${message.attempt}`);
    changeTo(message.executionId);
  } else {
    log.finish();
  }
}

function changeTo(id: string): void {
  followed = id;
  one = [...(job?.executions ?? []), ...older].find((execution) => execution.executionId === id) ?? null;
  void look();
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
  if (answer.body) job = answer.body.job;
  else if (answer.status === null) connection.suspect();
  if (job && answer.body) {
    const id = followed ?? (job.executions.find((execution) => execution.startedAt) ?? job.executions[0])?.executionId ?? null;
    one = job.executions.find((execution) => execution.executionId === id) ?? (await lookAt(id));
    if (here.execution && !one) return 404;
    await drawAll();
  }
  const delay = answer.status === 404 ? null : nextLook();
  if (delay !== null) lookTimer = window.setTimeout(() => !document.hidden && void look(), delay);
  return answer.status;
}

async function lookAt(id: string | null): Promise<Execution | null> {
  if (!id) return null;
  return (await read<{ execution: Execution }>(new URL(`executions/${id}/`, here.jobUrl))).body?.execution ?? null;
}

/** Milliseconds until the job may have changed; null when it will not change by itself. */
function nextLook(): number | null {
  if (connection.state.is !== "done") return LOOK_EVERY;
  if (!one || !FINAL.has(one.status)) return LOOK_EVERY;
  if (!job?.nextRunAt) return null;
  return Math.min(Math.max(Date.parse(job.nextRunAt) - Date.now() + 1_500, LOOK_EVERY), 86_400_000);
}

// display

async function drawAll(): Promise<void> {
  if (!job) return;
  drawStatus(here.execution || one?.startedAt ? (one?.status ?? job.status) : job.status, here);
  drawGist(one);
  drawFacts(one, job);
  drawExecutions([...job.executions, ...older], job.executionCount, one?.executionId ?? null, here);
  drawDownload();
  drawEnd();
  drawAmount();
  const waits = !one || !FINAL.has(one.status) ? !one?.startedAt : connection.state.is !== "done";
  const why = waits ? (await read<{ waitingFor: Wait[] }>(new URL("why", here.logUrl))).body?.waitingFor : null;
  const last = why?.at(-1);
  const until = last?.until ? Date.parse(last.until) : null;
  const words = why?.map((wait) => sentence(wait.message)) ?? [];
  if (until) words.push(words.pop()!.replace(/\.$/, ","));
  const again = connection.state.is === "waiting" ? { words: RECONNECT, act: () => connection.now() } : undefined;
  notice("why", words.length ? { tone: "info", words, until, button: one?.startedAt ? undefined : again } : null);
}

/** The server's words as a sentence, with times in this browser's zone and format. */
function sentence(words: string): string {
  const local = isolated(words.trim().replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, moment)).replace(/\.$/, "");
  return `${local.charAt(0).toUpperCase()}${local.slice(1)}.`;
}

/** What is followed, when the page has seen it. */
function existed(): "job" | "execution" | null {
  if (here.execution) return one ? "execution" : null;
  return job ? "job" : null;
}

/** Shows how the execution ended, and what comes next. */
function drawEnd(): void {
  const reason = one && reasonWords(one);
  notice("failure", reason ? { tone: "bad", words: [`${sentence(reason)} ${retryWords(one!)}`.trim()] } : null);
  const over = connection.state.is === "done" && job && !here.execution;
  const next = over && job!.nextRunAt ? Date.parse(job!.nextRunAt) : null;
  notice("next", next ? { tone: "info", words: [`Next run: ${moment(job!.nextRunAt!)},`], until: next } : null);
  const newest = job?.executions.find((execution) => execution.startedAt);
  const newer = over && newest && one && newest.executionId !== one.executionId && newest.createdAt > one.createdAt;
  notice(
    "newer",
    newer ? { tone: "info", words: ["A newer run has started."], button: { words: "Follow it", act: () => location.reload() } } : null,
  );
}

/** Says which part of the log is not shown. */
function drawKept(): void {
  const { dropped } = log.counts;
  const words: string[] = [];
  if (one?.logInfo.truncated) words.push("The log is not complete: it was longer than the server keeps, or a part of it was lost.");
  if (!whole) words.push(`Only the last ${count(LAST_LINES)} lines are shown, numbered from the first of them. Download has them all.`);
  else if (dropped) words.push(`The first ${count(dropped)} lines are no longer shown. Download has them all.`);
  notice("kept", words.length ? { tone: "warn", words } : null);
}

function drawAmount(): void {
  drawKept();
  drawNothing();
}

function drawNothing(): void {
  const place = the("nothing");
  const is = connection.state.is;
  const { all, shown } = log.counts;
  place.hidden = shown;
  if (place.hidden) return;
  let words = "Waiting for the first line.";
  if (is === "barred") words = "Nothing can be shown.";
  else if (is === "missing") words = existed() ? "Its log was deleted with it." : `This ${here.execution ? "execution" : "job"} does not exist.`;
  else if (all) words = "No matching lines.";
  else if (is === "done") words = one?.startedAt ? "There was no output." : "It never ran.";
  else if (!one?.startedAt) words = "Nothing has started yet.";
  if (place.firstChild?.textContent === words) return;
  const hint = is === "missing" && !existed() ? el("p", {}, "Check its address. It may also have been deleted before.") : "";
  place.replaceChildren(el("p", {}, words), hint);
}

function showLink(state: State): void {
  if (state.is === "missing" || state.is === "barred") {
    drawStatus(state.is === "missing" && existed() ? "deleted" : state.is, here);
    document.body.classList.add("gone");
    for (const key of ["why", "next", "newer"] as const) notice(key, null);
  }
  if (state.is === "open" || state.is === "done") void look();
  drawNothing();
}

function drawDownload(): void {
  const link = the<HTMLAnchorElement>("download");
  const stream = the<HTMLSelectElement>("shown").value;
  const path = stream === "stdout" || stream === "stderr" ? stream : "logs?interleaved=1";
  if (!one?.startedAt) {
    link.removeAttribute("href");
    link.setAttribute("aria-disabled", "true");
    return;
  }
  link.removeAttribute("aria-disabled");
  link.href = new URL(`executions/${one.executionId}/${path}`, here.jobUrl).href;
  const task = here.task.replaceAll(/[^\w.-]+/g, "-").slice(0, 60);
  link.download = `${task}-${shortId(one.executionId)}.${stream === path ? stream : "log"}.txt`;
}

async function showOlder(): Promise<void> {
  const url = new URL(here.jobUrl);
  url.searchParams.set("page", String(++olderPage));
  url.searchParams.set("perPage", "20");
  const answer = await read<{ job: Job }>(url);
  const known = new Set([...(job?.executions ?? []), ...older].map((execution) => execution.executionId));
  older.push(...(answer.body?.job.executions ?? []).filter((execution) => !known.has(execution.executionId)));
  if (job) drawExecutions([...job.executions, ...older], job.executionCount, one?.executionId ?? null, here);
  if (!answer.body) the("older").hidden = true;
}

function everySecond(): void {
  tick();
  drawGist(one);
  const words = log.takeAloud();
  if (words) the("aloud-lines").textContent = words;
}

async function start(): Promise<void> {
  if (location.search) history.replaceState(null, "", location.pathname); // a ticket that was not accepted
  drawPlace(here);
  equip(log, drawDownload);
  press("older", () => void showOlder());
  document.addEventListener("visibilitychange", () => !document.hidden && void look());
  setInterval(everySecond, 1_000);
  const status = await look();
  if (status === 404 || status === 401 || status === 403) {
    connection.refuse(status);
    return;
  }
  if (one?.startedAt) followed = one.executionId;
  if (one && one.logInfo.stdoutBytes + one.logInfo.stderrBytes > LARGE) {
    whole = false;
    connection.begin(LAST_LINES);
  } else {
    connection.begin(null);
  }
}

void start();
