// The page of all tasks, each with its jobs in short: how many have which status, whether one is late, the last run and the next.

import { type Execution, statusWords } from "../api";
import { el } from "../dom";
import { count } from "../words";
import { asked, search } from "./filters";
import { drawList, heading, lastRun, momentOf, PER_PAGE, type Run } from "./lists";
import { mark } from "./marks";
import type { Page } from "./page";
import { link, nothing, table } from "./parts";
import { api, get, pages, queryOf, root } from "./server";
import type { JobRow, List, Task } from "./shapes";
import { ago, until } from "./times";

/** The statuses of jobs that the list shows. */
const SHOWN = [
  ["running", "pulling", "enqueued"],
  ["failed", "timedout", "expired"],
  ["paused", "scheduled"],
] as const;
/** How many jobs are read for it, of all or of each line of statuses. */
const MOST_JOBS = 500;

/** A task in short. */
interface Short {
  statuses: Map<string, number>;
  late: number;
  last: Run | null;
  next: string | null;
}

interface Known {
  tasks: Map<string, Short>;
  /** How many jobs of all tasks have a status of which there are too many to read them. */
  totals: (readonly [string, number])[];
}

export function tasksPage(changed: () => void): Page {
  return {
    nav: "tasks",
    title: "Tasks",
    events: { kind: "job,task,execution" },
    tools: [heading("Tasks"), search("query", "Search tasks", changed)],
    async load() {
      const query = asked();
      const [list, { tasks, totals }] = await Promise.all([
        get<List<Task>>(query.query ? api.search({ perPage: PER_PAGE, ...query }) : api.tasks({ perPage: PER_PAGE, ...query })),
        readShort(),
      ]);
      const of = ({ taskId }: Task): Short | undefined => tasks.get(taskId);
      const columns = [
        { title: "Task", is: "grow" as const, cell: (one: Task) => taskName(one, of(one)) },
        { title: "Jobs", is: "number" as const, cell: (one: Task) => count(one.jobsCount) },
        { title: "Last run", wide: true, cell: (one: Task) => lastOf(of(one)) },
        { title: "Next run", is: "number" as const, cell: (one: Task) => nextOf(of(one)) },
        { title: "Changed", wide: true, is: "number" as const, cell: (one: Task) => ago(one.lastModifiedAt) },
      ];
      const empty = query.query
        ? nothing(`No task has words that begin with “${query.query}”.`)
        : nothing("There are no tasks yet. ", link(pages.newJob(), "Create a first job"), ", or see on the ", link(root, "overview"), " how to do so from a terminal.");
      return () => {
        const content = table("Tasks", columns, list.items, (one) => one.taskId);
        return drawList("Tasks", list, totals.length ? el("div", {}, ofAll(totals), content) : content, empty);
      };
    },
  };
}

/** Says of statuses with too many jobs how many all tasks have. */
const ofAll = (totals: Known["totals"]): HTMLElement =>
  el(
    "p",
    { className: "marks all" },
    "All tasks together:",
    ...totals.map(([status, jobs]) => link(pages.jobs({ status }), mark(status, `${count(jobs)} ${statusWords(status)}`))),
  );

function taskName(one: Task, short: Short | undefined): HTMLElement {
  const marks = [...(short?.statuses ?? [])].map(([status, jobs]) => mark(status, `${count(jobs)} ${statusWords(status)}`));
  const late = short?.late ? el("span", { className: "tag" }, `${count(short.late)} late`) : null;
  return el(
    "div",
    {},
    el("span", { className: "name" }, link(pages.task(one.taskId), el("bdi", {}, one.taskId))),
    (late || marks.length > 0) && el("div", { className: "marks" }, ...marks, late),
    short?.last && el("div", { className: "narrow" }, "Last run: ", lastRun(short.last)),
  );
}

const lastOf = (short: Short | undefined): HTMLElement | null => (short?.last ? lastRun(short.last) : null);
const nextOf = (short: Short | undefined): HTMLElement | null => (short?.next ? until(short.next) : null);

/** Reads the jobs in short. Of more than `MOST_JOBS`, reads those of each line of statuses, the late ones, and the runs that were due last. */
async function readShort(): Promise<Known> {
  const all = await readJobs({});
  if (all) return { tasks: inShort(all, all, []), totals: [] };
  const [lines, late, runs] = await Promise.all([
    Promise.all(SHOWN.map((line) => readJobs({ status: line.join(",") }))),
    readJobs({ late: "1" }),
    get<List<Execution>>(api.executions({ perPage: "100" })),
  ]);
  const cut = SHOWN.filter((_, at) => !lines[at]).flat();
  const totals = await Promise.all(cut.map(async (status) => [status, (await get<List<JobRow>>(api.allJobs({ status, perPage: "1" }))).total] as const));
  return { tasks: inShort(lines.flatMap((jobs) => jobs ?? []), late ?? [], runs.items), totals: totals.filter(([, jobs]) => jobs) };
}

/** All jobs of a list; null if there are more than `MOST_JOBS`. */
async function readJobs(wanted: Record<string, string>): Promise<JobRow[] | null> {
  const found = new Map<string, JobRow>();
  let query: Record<string, string> | null = { ...wanted, perPage: "100" };
  while (query) {
    const list: List<JobRow> = await get<List<JobRow>>(api.allJobs(query));
    if (list.total > MOST_JOBS) return null;
    for (const one of list.items) found.set(one.id, one);
    query = queryOf(list.nextUrl);
  }
  return [...found.values()];
}

/** `runs`: the last ones of all tasks; where there are none, the jobs say what ran last. */
function inShort(jobs: readonly JobRow[], late: readonly JobRow[], runs: readonly Execution[]): Map<string, Short> {
  const tasks = new Map<string, Short>();
  const of = (task: string): Short => {
    const known = tasks.get(task) ?? { statuses: new Map<string, number>(), late: 0, last: null, next: null };
    tasks.set(task, known);
    return known;
  };
  const ran = (task: string, run: Run): void => {
    const short = of(task);
    if (!short.last || momentOf(run) > momentOf(short.last)) short.last = run;
  };
  for (const { taskId, status, nextRunAt, lastExecution } of jobs) {
    const short = of(taskId);
    if (IS_SHOWN.has(status)) short.statuses.set(status, (short.statuses.get(status) ?? 0) + 1);
    if (nextRunAt && (!short.next || nextRunAt < short.next)) short.next = nextRunAt;
    if (lastExecution && !runs.length) ran(taskId, lastExecution);
  }
  for (const { taskId, lateSince } of late) if (lateSince) of(taskId).late++;
  for (const run of runs) ran(run.taskId, run);
  return tasks;
}

const IS_SHOWN = new Set<string>(SHOWN.flat());
