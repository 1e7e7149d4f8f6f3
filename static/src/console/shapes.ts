// What the API answers, as far as the console reads it.

export interface List<Item> {
  items: Item[];
  total: number;
  page: number;
  pages: number;
  hasNext: boolean;
  nextUrl: string | null;
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
}

export interface Status {
  workers: { alive: number };
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
