// What the page reads over HTTP. All addresses derive from the page's own address, so the page works below any path.

import { setClock } from "./console/times";

export type { Execution, Wait, Why } from "./contract";

export const FINAL = new Set(["done", "failed", "timedout", "stopped", "expired"]);

const STATUS: Record<string, string> = {
  timedout: "timed out",
  enqueued: "waiting",
  pulling: "starting",
  retry: "retry due",
  missing: "not found",
  barred: "not allowed",
};

/** A status as people read it. */
export const statusWords = (status: string): string => STATUS[status] ?? status;

/** The job's address, and the execution whose log this page shows; without an execution, the job's newest. */
export interface Place {
  root: string;
  task: string;
  job: string;
  execution: string | null;
  jobUrl: URL;
  logUrl: URL;
}

/** Reads the task, job and execution from the page's address. */
export function place(address: URL): Place {
  const path = address.pathname.replaceAll(/\/+/g, "/");
  const match = /^(.*\/)(tasks?\/([^/]+)\/jobs\/([^/]+))\/(?:executions\/([^/]+)\/)?stream\/?$/.exec(path);
  if (!match) throw new Error("this is not the address of a log page");
  const [, root, job, task, id, execution] = match;
  const jobUrl = new URL(`${address.origin}${root}${job}/`);
  return {
    root: `${address.origin}${root}`,
    task: decoded(task!),
    job: id!,
    execution: execution?.toLowerCase() ?? null,
    jobUrl,
    logUrl: execution ? new URL(`executions/${execution}/`, jobUrl) : jobUrl,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A JSON answer. `status` is null when no answer comes in time, and `body` is null when the request fails. */
export interface Answer<T> {
  status: number | null;
  body: T | null;
}

export async function read<T>(url: URL): Promise<Answer<T>> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(15_000), headers: { Accept: "application/json", "X-Requested-With": "fastlane" } });
    const date = answer.headers.get("Date");
    if (date) setClock(Date.parse(date));
    return { status: answer.status, body: answer.ok ? ((await answer.json()) as T) : null };
  } catch {
    return { status: null, body: null };
  }
}
