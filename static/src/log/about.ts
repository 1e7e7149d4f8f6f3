// The facts about the job and about the execution whose log is shown, and the list of the job's executions.

import { type Execution, FINAL, type Place, statusWords } from "../api";
import { copyBy } from "../clipboard";
import { mark, shape } from "../console/marks";
import { pages } from "../console/server";
import type { Job } from "../console/shapes";
import { ago } from "../console/times";
import { el, redraw, the } from "../dom";
import { attemptWords, running } from "../outcome";
import { count, duration, isolated, moment, shortId, size, until, zone } from "../words";

export function drawPlace(place: Place): void {
  the("task").textContent = place.task;
  the("zone").textContent = zone();
  const job = the<HTMLAnchorElement>("job");
  the("job-id").textContent = shortId(place.job);
  drawName(place.task);
  job.href = pages.job(place.task, place.job);
  the<HTMLAnchorElement>("task-link").href = pages.task(place.task);
  job.title = `job ${place.job}`;
}

function drawName(name: string): void {
  if (the("job-name").textContent !== name) the("job-name").textContent = name;
}

/** Shows the status, also in the page's title. `name`: the job's; its task, when it has none. `when`: the moment in which something is due,
 * in milliseconds. */
export function drawStatus(status: string, name: string, when: number | null = null): void {
  const chip = the("status");
  chip.dataset.status = status;
  chip.title = when === null ? "" : moment(new Date(when).toISOString());
  const words = `${statusWords(status)}${when === null ? "" : ` ${until(when)}`}`;
  if (chip.textContent !== words) chip.replaceChildren(shape(status), words);
  const title = `${statusWords(status)} · ${isolated(name)} · fastlane`;
  if (document.title !== title) document.title = title;
}

/** Shows the exit code, duration and attempt beside the status. */
export function drawGist(one: Execution | null): void {
  const parts: string[] = [];
  if (one) {
    if (one.exitCode !== null) parts.push(`exit code ${one.exitCode}`);
    const time = running(one);
    if (time !== null) parts.push(duration(time));
    const attempt = attemptWords(one);
    if (attempt) parts.push(attempt);
  }
  const gist = the("gist");
  const text = parts.join(" · ");
  if (gist.textContent !== text) gist.textContent = text;
}

export function drawFacts(one: Execution | null, job: Job | null): void {
  if (job?.name) drawName(job.name);
  const facts: [string, string | HTMLElement | null | undefined][] = [
    ["Runs as service", one?.service ?? job?.spec.service],
    ["Image", one?.image ?? job?.spec.image],
    ["Schedule", job?.schedule.cron && (job.schedule.entries ?? [job.schedule]).map((entry) => `${entry.cron} (${entry.timezone})`).join("; ")],
    ["Values", one?.parameters && Object.entries(one.parameters).map(([name, value]) => `${name}=${value}`).join(" ")],
    ["Node", one?.node],
    ["Host", one?.host && (one.pool ? `${one.host} (pool ${one.pool})` : one.host)],
    ["Started", one?.startedAt && ago(one.startedAt)],
    ["Ended", one?.finishedAt && ago(one.finishedAt)],
    ["Log", one?.startedAt && logWords(one)],
    ["Execution", one && el("a", { href: pages.execution(one.taskId, one.jobId, one.executionId), title: one.executionId }, one.executionId)],
  ];
  const known = facts.filter((fact): fact is [string, string | HTMLElement] => Boolean(fact[1]));
  const titleOf = (value: string | HTMLElement): string => (typeof value === "string" ? value : value.title);
  const row = (name: string, value: string | HTMLElement) => el("div", {}, el("dt", {}, name), el("dd", { title: titleOf(value) }, value));
  const rows = known.map(([name, value]) => [`${name} ${titleOf(value)}`, () => row(name, value)] as const);
  const command = one ? one.command : job?.spec.command;
  if (command !== undefined) rows.push([`Command ${command}`, () => commandRow(command)]);
  redraw(the("facts"), rows);
}

/** The command in full, with a button that copies it. */
function commandRow(command: string | null): HTMLDivElement {
  const name = el("dt", {}, "Command");
  if (command === null) return el("div", {}, name, el("dd", {}, "the image's own"));
  const button = el("button", { type: "button", "aria-label": "Copy the command" }, "Copy");
  button.addEventListener("click", () => void copyBy(button, command, "Command"));
  return el("div", { className: "command" }, name, el("dd", {}, el("code", { tabIndex: 0 }, command), button));
}

function logWords(one: Execution): string {
  const { stdoutBytes, stderrBytes } = one.logInfo;
  return `${size(stdoutBytes)} stdout, ${size(stderrBytes)} stderr`;
}

export function drawExecutions(executions: readonly Execution[], total: number, current: string | null, place: Place): void {
  the("others-count").textContent = count(total);
  const items = executions.map((one) => {
    const is = one.executionId === current;
    return [`${one.executionId} ${one.status} ${one.startedAt} ${is}`, () => item(one, is, place)] as const;
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
    mark(one.status),
    el("span", { className: "gist" }, gist.map((part) => part.replaceAll(" ", "\u00a0")).join(" · ")),
    ago(one.startedAt ?? one.scheduledFor),
  );
  return el("li", {}, link);
}
