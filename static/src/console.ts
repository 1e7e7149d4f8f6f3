// The console: finds the page of this address, shows it, and keeps it up to date.

import "./console.css";
import { copyBy } from "./clipboard";
import { calendarPage } from "./console/calendar";
import { hostsPage } from "./console/hosts";
import { newJobPage } from "./console/form/page";
import { executionPage } from "./console/execution";
import { jobPage } from "./console/job";
import { Live, type Reading } from "./console/live";
import { listen } from "./console/keys";
import { executionsPage, jobsPage, taskPage } from "./console/lists";
import { morphChildren } from "./console/morph";
import { drawAccount, drawNav } from "./console/nav";
import { overview } from "./console/overview";
import type { Page } from "./console/page";
import { notice } from "./console/parts";
import { dismiss, perform } from "./console/perform";
import { here, pages, Refusal, root } from "./console/server";
import { forget, session } from "./console/session";
import { tasksPage } from "./console/tasks";
import { el, say, the } from "./dom";
import { askLogin } from "./loginform";
import { hear } from "./tabs";
import { isolated, sentence } from "./words";

/** The page of a path below the server's address. */
function find(path: readonly string[]): Page | null {
  const [tasks, task, jobs, job, executions, execution, more] = path[0] === "console" ? path.slice(1) : path;
  const changed = (): void => void live.now();
  if (tasks === undefined) return overview;
  if (tasks === "hosts" && !task) return hostsPage;
  if (tasks === "calendar" && !task) return calendarPage(changed);
  if (tasks === "new" && !task) return newJobPage();
  if (tasks === "jobs" && !task) return jobsPage(changed);
  if (tasks === "executions" && !task) return executionsPage(changed);
  if (tasks === "tasks" && !task) return tasksPage(changed);
  if (tasks === "tasks" && task && !jobs) return taskPage(task, changed);
  if (tasks === "tasks" && task && jobs === "jobs" && job && !executions) return jobPage(task, job);
  if (tasks === "tasks" && task && jobs === "jobs" && job && executions === "executions" && execution && !more)
    return executionPage(task, job, execution.toLowerCase());
  return null;
}

const page = find(here());
const live = new Live(page?.events === undefined ? {} : page.events, read, findOut);
let reading: Promise<Reading> | null = null;
let again = false;

/** Reads the page's content and shows it. A call while one is under way has it read once more after that. */
function read(): Promise<Reading> {
  again = reading !== null;
  return (reading ??= readAll().finally(() => (reading = null)));
}

async function readAll(): Promise<Reading> {
  for (;;) {
    again = false;
    const ended = await readOnce();
    if (!again) return ended;
  }
}

async function readOnce(): Promise<Reading> {
  if (!page) return "done";
  const asked = performance.now();
  try {
    const draw = await page.load();
    the("trouble").replaceChildren();
    morphChildren(the("page"), draw());
    return "done";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!again) showRefusal(error, asked);
    return error.status === null || error.status >= 500 ? "unavailable" : "refused";
  }
}

/** Shows what the server said to a request that was made at this time, and what to do about it. */
function showRefusal(refusal: Refusal, asked: number): void {
  if (refusal.status === 401) return showEnded("Your session has ended.");
  if (refusal.status === null && live.unanswered(asked)) return the("trouble").replaceChildren();
  const words = sentence(refusal.message);
  const box = notice("bad", words);
  if (refusal.status === 404 || refusal.status === 403) box.append(el("a", { href: pages.overview }, "To the overview"));
  else box.append(el("button", { type: "button", "data-act": "reload" }, "Try again"));
  if (the("trouble").textContent !== box.textContent) say(words);
  the("trouble").replaceChildren(box);
}

/** Finds out whether there is still a login. */
function findOut(): void {
  forget();
  session().catch((error: unknown) => error instanceof Refusal && error.status === 401 && showEnded("Your session has ended."));
}

/** Shows that nobody is logged in any more. What the page shows stays, and so do its fields, until someone logs in again. */
function showEnded(words: string): void {
  live.end();
  if (the("trouble").querySelector("[data-act=login]")) return;
  const box = notice("bad", words);
  box.append(el("button", { type: "button", "data-act": "login" }, "Log in"));
  the("trouble").replaceChildren(box);
  say(words);
}

/** Says that the console has no page at this address. */
function showNowhere(): void {
  the("live").hidden = true;
  const ways = el("p", {}, "Check its address, or go to the ", el("a", { href: pages.overview }, "overview"), ", or to the ", el("a", { href: pages.tasks }, "tasks"), ".");
  the("page").replaceChildren(el("h1", {}, "There is no such page"), ways);
}

const ACTS: Record<string, (button: HTMLElement) => void> = {
  reload: () => void live.now(),
  reconnect: () => live.reconnect(),
  login: () => void askLogin().catch((error: unknown) => say(sentence((error as Error).message))),
  dismiss,
  copy: (button) => void copyBy(button, button.dataset.text ?? "", "Command"),
};

document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLElement>("[data-act]");
  if (button) ACTS[button.dataset.act!]?.(button);
  const change = button && page?.acts?.[button.dataset.act!];
  if (change) void perform(change, button).then(() => live.now());
});

document.title = page ? `${isolated(page.title)} · fastlane` : "Not found · fastlane";
drawNav(page?.nav ?? null);
the("tools").append(...(page?.tools ?? []));
if (location.hash === "#search") document.querySelector<HTMLInputElement>("[data-search]")?.focus();
hear(root, (change) => {
  forget();
  if (change === "out") return showEnded("You logged out in another tab.");
  drawAccount();
  live.resume();
});
listen(() => void live.now());
if (page) live.start();
else showNowhere();
