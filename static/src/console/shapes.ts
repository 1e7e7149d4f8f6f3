// What the API answers, as far as the console reads it.

import type { Execution } from "../api";

export interface List<Item> {
  items: Item[];
  total: number;
  page: number;
  pages: number;
  hasNext: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}

export interface Task {
  taskId: string;
  lastModifiedAt: string;
  jobsCount: number;
}

export interface JobRow {
  id: string;
  name: string | null;
  image: string;
  command: string | null;
  schedule: Schedule;
  status: string;
  nextRunAt: string | null;
  lastExecution: { status: string; createdAt: string; startedAt: string | null; finishedAt: string | null } | null;
}

export interface Lane {
  ready: number;
  timed: number;
  running: number;
  blocked: number;
  maxRunning: number;
  paused: boolean;
}

export interface Host {
  host: string;
  port: number | null;
  pool: string;
  available: boolean;
  blacklisted: boolean;
  circuit: string | null;
  error: string | null;
  since: string | null;
  running: number;
  cpus: number | null;
  memoryBytes: number | null;
  disk: { freeBytes: number | null } | null;
}

export interface Pool {
  name: string;
  match: string;
  hosts: { host: string; usable: boolean }[];
  maxRunning: number;
  running: number;
  waiting: number;
  paused: boolean;
}

export interface Status {
  workers: { alive: number; items: { id: string; startedAt: string; clockSkewMs: number | null }[] };
  hosts: Host[];
  dispatch: { paused: boolean; reason: string | null };
  pools: { error: string | null };
  queues: Record<string, Lane>;
  strandedQueues: Record<string, { ready: number; timed: number; running: number; blocked: number }>;
  jobs: {
    count: number;
    byStatus: Record<string, number> | null;
    scheduled: { taskId: string; jobId: string; nextRunAt: string | null }[];
  };
  executions: Record<"enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired", number>;
}

export interface Schedule {
  kind: "now" | "at" | "cron";
  startAt: string | null;
  cron?: string;
  timezone?: string;
  description?: string;
  overlap?: string;
  catchUp?: string;
}

export interface Resources {
  cpus: number | null;
  memory: number | null;
  pids: number | null;
}

export interface Job {
  id: string;
  url: string;
  taskId: string;
  name: string | null;
  labels: Record<string, string>;
  createdAt: string;
  lastModifiedAt: string;
  status: string;
  nextRunAt: string | null;
  nextRuns: string[];
  schedule: Schedule;
  spec: {
    image: string;
    command: string | null;
    envs: Record<string, string>;
    retries: number;
    timeout: number | null;
    expiration: string | null;
    expiresIn: number | null;
    priority: number;
    concurrency: number | null;
    resources: Resources | null;
  };
  executionCount: number;
  executions: Execution[];
  requestedBy: { user: string | null; address: string | null } | null;
}

export interface Tick {
  id: string;
  due: string;
  until: string | null;
  count: number;
  atLeast: boolean;
  outcome: string;
  reason: string | null;
}

export interface HistoryHour {
  hour: string;
  done: number;
  failed: number;
  timedout: number;
  stopped: number;
  expired: number;
  lateness: { started: number; meanMs: number | null; maxMs: number };
}

export interface History {
  hours: HistoryHour[];
}
