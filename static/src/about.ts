// The facts about the job and about the execution whose log is shown, and the list of the job's executions.

import { type Execution, FINAL, type Job, type Place } from "./api";
import { el, redraw, the } from "./dom";
import { count, duration, moment, short, shortId, size } from "./words";

const STATUS: Record<string, string> = { timedout: "timed out", enqueued: "waiting", pulling: "starting", barred: "not allowed" };

export const statusWords = (status: string): string => STATUS[status] ?? status;

/** How long the execution ran, or has run so far, in milliseconds; null before its start. */
export function running(one: Execution): number | null {
  if (!one.startedAt) return null;
  if (one.durationMs !== null) return one.durationMs;
  const end = one.finishedAt ? Date.parse(one.finishedAt) : Date.now();
  return Math.max(0, end - Date.parse(one.startedAt));
}

export function drawPlace(place: Place): void {
  the("task").textContent = place.task;
  const job = the<HTMLAnchorElement>("job");
  job.textContent = shortId(place.job);
  job.href = place.jobUrl.href;
  job.title = `job ${place.job}`;
  job.setAttribute("aria-label", `job ${place.job}`);
  the<HTMLAnchorElement>("brand").href = place.root;
}

/** Shows the status, also in the page's title. */
export function drawStatus(status: string, place: Place): void {
  const chip = the("status");
  chip.dataset.status = status;
  chip.textContent = statusWords(status);
  document.title = `${statusWords(status)} · ${place.task} · fastlane`;
}

/** Shows the exit code, duration and attempt beside the status. */
export function drawGist(one: Execution | null): void {
  const parts: string[] = [];
  if (one) {
    if (one.exitCode !== null) parts.push(`exit code ${one.exitCode}`);
    const time = running(one);
    if (time !== null) parts.push(duration(time));
    if (one.attempt > 1) parts.push(`attempt ${one.attempt}`);
  }
  const gist = the("gist");
  const text = parts.join(" · ");
  if (gist.textContent !== text) gist.textContent = text;
}

export function drawFacts(one: Execution | null, job: Job | null): void {
  const facts: [string, string | null | undefined][] = [
    ["Image", one?.image ?? job?.spec.image],
    ["Command", one ? (one.command ?? "the image's own") : job && (job.spec.command ?? "the image's own")],
    ["Schedule", job?.schedule.cron && `${job.schedule.cron} (${job.schedule.timezone})`],
    ["Host", one?.host && (one.pool ? `${one.host} (pool ${one.pool})` : one.host)],
    ["Attempt", one && String(one.attempt)],
    ["Started", one?.startedAt && moment(one.startedAt)],
    ["Ended", one?.finishedAt && moment(one.finishedAt)],
    ["Log", one?.startedAt && logWords(one)],
    ["Execution", one?.executionId],
  ];
  const known = facts.filter((fact): fact is [string, string] => Boolean(fact[1]));
  const row = (name: string, value: string) => el("div", {}, el("dt", {}, name), el("dd", { title: value }, value));
  redraw(the("facts"), known.map(([name, value]) => [`${name} ${value}`, () => row(name, value)] as const));
}

function logWords(one: Execution): string {
  const { stdoutBytes, stderrBytes } = one.logInfo;
  return `${size(stdoutBytes)} stdout, ${size(stderrBytes)} stderr`;
}

export function drawExecutions(executions: readonly Execution[], total: number, current: string | null, place: Place): void {
  the("others-count").textContent = count(total);
  const items = executions.map((one) => {
    const is = one.executionId === current;
    return [`${one.executionId} ${one.status} ${is}`, () => item(one, is, place)] as const;
  });
  redraw(the("executions"), items);
  the("older").hidden = executions.length >= total;
}

function item(one: Execution, current: boolean, place: Place): HTMLElement {
  const time = FINAL.has(one.status) ? running(one) : null;
  const gist = [
    FINAL.has(one.status) && one.exitCode !== null && `exit ${one.exitCode}`,
    time !== null && duration(time),
    one.attempt > 1 && `attempt ${one.attempt}`,
  ].filter((part) => part !== false);
  const link = el(
    "a",
    { href: new URL(`executions/${one.executionId}/stream`, place.jobUrl).href, "aria-current": current ? "true" : null },
    el("span", { className: "mark", "data-status": one.status }, statusWords(one.status)),
    el("time", { dateTime: one.startedAt ?? one.scheduledFor }, short(one.startedAt ?? one.scheduledFor)),
    el("span", { className: "gist" }, gist.join(" · ")),
  );
  return el("li", {}, link);
}
