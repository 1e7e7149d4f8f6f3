// The page of a new job, which may begin as one that is there.

import { isolated, shortId } from "../../words";
import { asked } from "../filters";
import type { Page } from "../page";
import { api, exchange, Refusal } from "../server";
import { session } from "../session";
import { tidy } from "./body";
import { Form, type Start } from "./form";
import { parse } from "./json";

export function newJobPage(): Page {
  let made: HTMLElement | null = null;
  return {
    nav: "new",
    title: "New job",
    events: null,
    async load() {
      made ??= await make();
      const form = made;
      return () => [form];
    },
  };
}

async function make(): Promise<HTMLElement> {
  const { like, task } = asked();
  const [who, start] = await Promise.all([session(), like ? another(like) : { title: "New job", task: task ?? "", body: new Map() }]);
  return new Form(start, who).element;
}

const NO_JOB = "This address names no job: write like=TASK/ID.";

/** What is another one like this job: TASK/ID. Throws a Refusal. */
async function another(like: string): Promise<Start> {
  const end = like.lastIndexOf("/");
  const task = like.slice(0, Math.max(0, end));
  const id = like.slice(end + 1);
  if (["", ".", ".."].some((none) => task === none || id === none)) throw new Refusal(404, NO_JOB);
  const { value } = parse(await exchange("GET", api.job(task, id, "", { perPage: "1" })));
  const job = value.get("job");
  const definition = job instanceof Map ? job.get("definition") : null;
  if (!(job instanceof Map) || !(definition instanceof Map)) throw new Refusal(404, NO_JOB);
  const name = job.get("name");
  return {
    title: `Another like “${isolated(typeof name === "string" ? name : task)}” (${shortId(id)})`,
    task,
    body: tidy(definition),
  };
}
