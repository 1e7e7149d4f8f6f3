// The page of all tasks, each with its jobs in short: how many have which status, how many are late, the last run and the next.

import { statusWords } from "../api";
import { el } from "../dom";
import { count } from "../words";
import { asked, search } from "./filters";
import { drawList, heading, lastRun, PER_PAGE } from "./lists";
import { mark } from "./marks";
import type { Page } from "./page";
import { link, nothing, table } from "./parts";
import { api, get, pages, root } from "./server";
import type { List, Task } from "./shapes";
import { ago, until } from "./times";

/** The statuses of jobs that the list shows. */
const SHOWN = ["running", "pulling", "enqueued", "failed", "timedout", "expired", "paused", "scheduled"];

export function tasksPage(changed: () => void): Page {
  return {
    nav: "tasks",
    title: "Tasks",
    events: { kind: "job,task,execution" },
    tools: [heading("Tasks"), search("query", "Search tasks", changed)],
    async load() {
      const query = asked();
      const list = await get<List<Task>>(query.query ? api.search({ perPage: PER_PAGE, ...query }) : api.tasks({ perPage: PER_PAGE, ...query }));
      const columns = [
        { title: "Task", is: "grow" as const, cell: taskName },
        { title: "Jobs", is: "number" as const, cell: (one: Task) => count(one.jobsCount) },
        { title: "Last run", wide: true, cell: (one: Task) => one.lastExecution && lastRun(one.lastExecution) },
        { title: "Next run", is: "number" as const, cell: (one: Task) => one.nextRunAt && until(one.nextRunAt) },
        { title: "Changed", wide: true, is: "number" as const, cell: (one: Task) => ago(one.lastModifiedAt) },
      ];
      const empty = query.query
        ? nothing(`No task has words that begin with “${query.query}”.`)
        : nothing("There are no tasks yet. ", link(pages.newJob(), "Create a first job"), ", or see on the ", link(root, "overview"), " how to do so from a terminal.");
      return () => drawList("Tasks", list, table("Tasks", columns, list.items, (one) => one.taskId), empty);
    },
  };
}

function taskName(one: Task): HTMLElement {
  const counted = SHOWN.flatMap((status) => (one.jobsByStatus[status] ? [[status, one.jobsByStatus[status]] as const] : []));
  const marks = counted.map(([status, jobs]) => mark(status, `${count(jobs)} ${statusWords(status)}`));
  const late = one.lateJobs ? el("span", { className: "tag" }, `${count(one.lateJobs)} late`) : null;
  return el(
    "div",
    {},
    el("span", { className: "name" }, link(pages.task(one.taskId), el("bdi", {}, one.taskId))),
    (late || marks.length > 0) && el("div", { className: "marks" }, ...marks, late),
    one.lastExecution && el("div", { className: "narrow" }, "Last run: ", lastRun(one.lastExecution)),
  );
}
