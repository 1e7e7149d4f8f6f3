// The page of a new job, which may begin as one that is there, and of a change of one.

import { isolated, shortId } from "../../words";
import { asked } from "../filters";
import type { Page } from "../page";
import { api, exchangeTagged, Refusal } from "../server";
import { session } from "../session";
import { wholeJob } from "../whole";
import { tidy } from "./body";
import { Form, type Start } from "./form";
import { parse } from "./json";
import { edited } from "./target";

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
  const { like, edit, task } = asked();
  const known = edit ?? like;
  const [who, start] = await Promise.all([session(), known ? asJob(known, edit !== undefined) : { title: "New job", task: task ?? "", body: new Map() }]);
  document.title = `${start.title} · fastlane`;
  return new Form(start, who).element;
}

const NO_JOB = "This address names no job: write like=TASK/ID or edit=TASK/ID.";

/** A form that begins as this job is: TASK/ID, or TASK and a unique end of the id; `change`: to change that job. Throws a Refusal. */
async function asJob(named: string, change: boolean): Promise<Start> {
  const end = named.lastIndexOf("/");
  const task = named.slice(0, Math.max(0, end));
  const idOrEnd = named.slice(end + 1);
  if (["", ".", ".."].some((none) => task === none || idOrEnd === none)) throw new Refusal(404, NO_JOB);
  const id = await wholeJob(task, idOrEnd);
  const { text, tag } = await exchangeTagged("GET", api.job(task, id, "", { perPage: "1" }));
  const job = parse(text).value.get("job");
  const definition = job instanceof Map ? job.get("definition") : null;
  if (!(job instanceof Map) || !(definition instanceof Map)) throw new Refusal(404, NO_JOB);
  const name = job.get("name");
  const body = tidy(definition);
  return {
    title: `${change ? "Edit" : "Another like"} “${isolated(typeof name === "string" ? name : task)}” (${shortId(id)})`,
    task,
    body,
    ...(change && { target: edited(task, id, tidy(definition), tag) }),
  };
}
