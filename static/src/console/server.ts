// Asks the server, and gives its refusals in its own words. Also the addresses: of the API's routes, and of the console's pages.

import { the } from "../dom";
import { setClock } from "./times";

const ROOT = new URL(the<HTMLAnchorElement>("root").href);

/** The server's own address, with a slash at its end. */
export const root = ROOT.href;

/** The path of this page below the server's own address, decoded, without slashes around it. */
export function here(): string[] {
  const below = location.pathname.replaceAll(/\/+/g, "/").slice(ROOT.pathname.length);
  return below.split("/").filter(Boolean).map(decoded);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const path = (...parts: string[]): string => new URL(parts.map(encodeURIComponent).join("/"), ROOT).href;

function withQuery(query: Record<string, string>): string {
  const text = new URLSearchParams(query).toString();
  return text && `?${text}`;
}

/** The query of another page of a list: its URL may have an address that this browser does not use. Null: there is no such page. */
export const queryOf = (url: string | null): Record<string, string> | null => (url === null ? null : Object.fromEntries(new URL(url).searchParams));

export const pages = {
  overview: root,
  tasks: path("console", "tasks"),
  task: (task: string) => path("console", "tasks", task),
  hosts: path("console", "hosts"),
  calendar: (query: Record<string, string>) => `${path("console", "calendar")}${withQuery(query)}`,
  jobs: (query: Record<string, string> = {}) => `${path("console", "jobs")}${withQuery(query)}`,
  newJob: (query: Record<string, string> = {}) => `${path("console", "new")}${withQuery(query)}`,
  executions: (query: Record<string, string> = {}) => `${path("console", "executions")}${withQuery(query)}`,
  job: (task: string, job: string) => path("console", "tasks", task, "jobs", job),
  execution: (task: string, job: string, execution: string) => path("console", "tasks", task, "jobs", job, "executions", execution),
};

/** The API's routes. */
export const api = {
  status: path("status"),
  pools: path("pools"),
  calendars: path("calendars"),
  pool: (name: string, verb: string) => path("pools", name, verb),
  blacklist: path("docker-executor", "blacklist"),
  /** What happened to a job. */
  events: (query: Record<string, string>) => `${path("events")}${withQuery(query)}`,
  /** Jobs of all tasks. */
  allJobs: (query: Record<string, string>) => `${path("jobs")}${withQuery(query)}`,
  history: `${path("history")}?hours=24`,
  forecast: (query: Record<string, string>) => `${path("forecast")}${withQuery(query)}`,
  plannedRuns: (query: Record<string, string>) => `${path("forecast", "runs")}${withQuery(query)}`,
  job: (task: string, job: string, below: string, query: Record<string, string> = {}) =>
    `${path("tasks", task, "jobs", job, ...(below ? [below] : []))}${withQuery(query)}`,
  tasks: (query: Record<string, string>) => `${path("tasks")}${withQuery(query)}`,
  task: (task: string, below: string, query: Record<string, string> = {}) => `${path("tasks", task, ...(below ? [below] : []))}${withQuery(query)}`,
  dispatch: (verb: string) => path("dispatch", verb),
  /** Lines in the logs of many runs. */
  logSearch: (query: Record<string, string>) => `${path("logs", "search")}${withQuery(query)}`,
  search: (query: Record<string, string>) => `${path("search")}${withQuery(query)}`,
  jobsOf: (task: string, query: Record<string, string>) => `${path("tasks", task, "jobs")}${withQuery(query)}`,
  executions: (query: Record<string, string>) => `${path("executions")}${withQuery(query)}`,
  /** Jobs that failed, each with its last failure. */
  failures: (query: Record<string, string>) => `${path("failures")}${withQuery(query)}`,
};

/** The API's route of an execution. */
export const executionOf = (task: string, job: string, execution: string): string => path("tasks", task, "jobs", job, "executions", execution);

/** The API's list of a job's executions. */
export const executionsOf = (task: string, job: string, query: Record<string, string>): string =>
  `${path("tasks", task, "jobs", job, "executions")}${withQuery(query)}`;

/** The WebSocket of an execution's log. */
export const socketOf = (task: string, job: string, execution: string): URL =>
  new URL(`${executionOf(task, job, execution)}/ws`.replace(/^http/, "ws"));

/** The API's route that stops an execution. */
export const stopOf = (task: string, job: string, execution: string): string => `${executionOf(task, job, execution)}/stop`;

/** The page of an execution's log. */
export const logOf = (task: string, job: string, execution?: string): string =>
  path("tasks", task, "jobs", job, ...(execution ? ["executions", execution] : []), "stream");

/** A request that was refused, or had no answer (`status` null). The message is the server's detail; the faults name its fields. */
export class Refusal extends Error {
  constructor(
    readonly status: number | null,
    message: string,
    readonly faults: readonly { field: string; message: string }[] = [],
  ) {
    super(message);
  }
}

/** Says that a page asks, in which people log in: the browser is not to ask for a password by itself. */
export const FROM_PAGE = { "X-Requested-With": "fastlane" };

/** Milliseconds for an answer. To delete what runs takes the server up to 20 s. */
const READ_WITHIN = 15_000;
const WRITE_WITHIN = 40_000;
/** Milliseconds after which a read is given up when a lost connection is back: its answer may be lost, too. */
const OLD = 3_000;
const reads = new Map<AbortController, number>();
const NO_ANSWER = "The server does not answer. What you see may be out of date.";

/** Gives up reads that have waited long: they went over a connection that was lost. */
export function giveUpOld(): void {
  for (const [read, begun] of reads) if (performance.now() - begun > OLD) read.abort();
}

/** Reads JSON. Throws a Refusal. */
export const get = <T>(url: string): Promise<T> => send<T>("GET", url);

/** Sends a request, and reads the answer's JSON. Throws a Refusal. */
export async function send<T>(method: string, url: string, content?: object): Promise<T> {
  return read(await exchange(method, url, content && JSON.stringify(content))) as T;
}

/** Sends a request as it is, and gives the answer as it is. Throws a Refusal. */
export const exchange = async (method: string, url: string, body?: string, headers: Record<string, string> = {}): Promise<string> =>
  (await exchangeTagged(method, url, body, headers)).text;

/** As `exchange`, with the version (`ETag`) of what was read, if the answer has one. */
export async function exchangeTagged(
  method: string,
  url: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<{ text: string; tag: string | null }> {
  let answer: Response;
  let text: string;
  const until = new AbortController();
  const timer = setTimeout(() => until.abort(), method === "GET" ? READ_WITHIN : WRITE_WITHIN);
  if (method === "GET") reads.set(until, performance.now());
  try {
    answer = await fetch(url, { method, signal: until.signal, headers: { Accept: "application/json", ...FROM_PAGE, ...headers }, body });
    text = await answer.text();
  } catch {
    throw new Refusal(null, NO_ANSWER);
  } finally {
    clearTimeout(timer);
    reads.delete(until);
  }
  const date = answer.headers.get("Date");
  if (date) setClock(Date.parse(date));
  if (answer.ok) return { text, tag: answer.headers.get("ETag") };
  const { detail, errors } = (read(text) ?? {}) as { detail?: string; errors?: { field: string; message: string }[] };
  throw new Refusal(answer.status, detail ?? `The server refused this (${answer.status}).`, errors);
}

function read(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
