// What the API answers, under the names that the console uses.

export type { Delivery, Event, EventPage, History, HistoryHour, Host, Lane, Pool, ResourcesAsked as Resources, Schedule, Task, Tick } from "../contract";

import type { JobFull, JobRow as Row, Listeners, Requester, ServerStatus } from "../contract";

/** Who gets messages about a job. */
interface Receiver {
  list: keyof Listeners;
  receiver?: string;
  ofPool: boolean;
}

/** A job that is late. */
export interface Late {
  taskId: string;
  jobId: string;
  name: string | null;
  lateSince: string;
}

export type Job = JobFull & { createdBy?: Requester | null; receivers?: Receiver[] };
export type JobRow = Row & { lateSince?: string | null };
export type Status = ServerStatus & { jobs: { late?: Late[] } };

export interface List<Item> {
  items: Item[];
  total: number;
  page: number;
  pages: number;
  hasNext: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}
