// The whole id of a job or an execution of which an address has only the end.

import { count } from "../words";
import { api, executionsOf, get, queryOf, Refusal } from "./server";
import type { List } from "./shapes";

/** Pages of 100 that are looked through at most. */
const MOST_PAGES = 20;

/** Whether this is an id and not only the end of one. */
export const isWhole = (id: string): boolean => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id);

/** The id of the only job of a task whose id ends so. Throws a Refusal. */
export const wholeJob = (task: string, end: string): Promise<string> =>
  isWhole(end)
    ? Promise.resolve(end.toLowerCase())
    : theOnly<{ id: string }>(end, (query) => api.allJobs({ task, query: end.toLowerCase(), ...query }), ({ id }) => id, "job", `the task ${task}`);

/** The id of the only execution of a job whose id ends so. Throws a Refusal. */
export const wholeExecution = (task: string, job: string, end: string): Promise<string> =>
  isWhole(end)
    ? Promise.resolve(end.toLowerCase())
    : theOnly<{ executionId: string }>(end, (query) => executionsOf(task, job, query), ({ executionId }) => executionId, "execution", `the job ${job}`);

/** Looks through a list. `of`: what the list belongs to. */
async function theOnly<Item>(end: string, url: (query: Record<string, string>) => string, idOf: (item: Item) => string, what: string, of: string): Promise<string> {
  const found: string[] = [];
  let query: Record<string, string> | null = { perPage: "100" };
  for (let page = 0; query; page++) {
    if (page === MOST_PAGES) throw new Refusal(404, `${of} has more than ${count(MOST_PAGES * 100)} ${what}s; write the whole id and not only ${end}`);
    const list: List<Item> = await get<List<Item>>(url(query));
    found.push(...list.items.map(idOf).filter((id) => id.endsWith(end.toLowerCase())));
    query = queryOf(list.nextUrl);
  }
  if (!found.length) throw new Refusal(404, `there is no ${what} '${end}' in ${of}`);
  if (found.length > 1) throw new Refusal(404, `${count(found.length)} ${what}s of ${of} have an id that ends with ${end}; write more of it`);
  return found[0]!;
}
