// The console: finds the page of this address, shows it, and keeps it up to date.

import "./console.css";
import { copyBy } from "./clipboard";
import { jobPage } from "./console/job";
import { keepFresh, show } from "./console/live";
import { listen } from "./console/keys";
import { executionsPage, taskPage, tasksPage } from "./console/lists";
import { morphChildren } from "./console/morph";
import { overview } from "./console/overview";
import type { Page } from "./console/page";
import { notice } from "./console/parts";
import { here, pages, Refusal, root } from "./console/server";
import { account } from "./console/session";
import { el, say, the } from "./dom";
import { isolated, sentence } from "./words";

const NAV = [
  ["overview", "Overview", pages.overview],
  ["tasks", "Tasks", pages.tasks],
  ["executions", "Executions", pages.executions()],
] as const;

/** The page of a path below the server's address. */
function find(path: readonly string[]): Page | null {
  const [tasks, task, jobs, job, more] = path[0] === "console" ? path.slice(1) : path;
  const changed = (): void => void reload();
  if (tasks === undefined) return overview;
  if (tasks === "executions" && !task) return executionsPage(changed);
  if (tasks === "tasks" && !task) return tasksPage(changed);
  if (tasks === "tasks" && task && !jobs) return taskPage(task, changed);
  if (tasks === "tasks" && task && jobs === "jobs" && job && !more) return jobPage(task, job);
  return null;
}

function drawNav(page: Page | null): void {
  const links = NAV.map(([name, words, href]) => el("a", { href, "aria-current": page?.nav === name ? "page" : null }, words));
  the("nav").replaceChildren(...links, el("a", { href: `${root}docs` }, "API"));
}

const page = find(here());
let reading = false;
let again = false;

/** Reads the page's content and shows it. A call while one is under way has it read once more after that. */
async function reload(): Promise<void> {
  if (!page) return;
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  try {
    const draw = await page.load();
    the("trouble").replaceChildren();
    morphChildren(the("page"), draw());
    show("fresh");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    show("stale");
    showRefusal(error);
  } finally {
    reading = false;
  }
  if (again) {
    again = false;
    await reload();
  }
}

/** Shows what the server said, and what to do about it: another try, or after an `action`, nothing. */
function showRefusal(refusal: Refusal, action = false): void {
  const login = refusal.status === 401;
  const words = login ? "Your session has ended." : sentence(refusal.message);
  const box = notice("bad", words);
  if (action && !login) box.append(el("button", { type: "button", "data-act": "dismiss" }, "Dismiss"));
  else if (refusal.status === 404 || refusal.status === 403) box.append(el("a", { href: pages.overview }, "To the overview"));
  else box.append(el("button", { type: "button", "data-act": login ? "login" : "reload" }, login ? "Log in" : "Try again"));
  the("trouble").replaceChildren(box);
  say(words);
}

const ACTS: Record<string, (button: HTMLElement) => void> = {
  reload: () => void reload(),
  login: () => location.reload(),
  dismiss: () => the("trouble").replaceChildren(),
  copy: (button) => void copyBy(button, button.dataset.text ?? "", "Command"),
};

document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLElement>("[data-act]");
  if (button) ACTS[button.dataset.act!]?.(button);
  const change = button && page?.acts?.[button.dataset.act!];
  if (change) void perform(change, button);
});

/** Does what changes something, once at a time, and shows what became of it. */
async function perform(change: (button: HTMLElement) => Promise<void>, button: HTMLElement): Promise<void> {
  const buttons = button.closest("[role=group]")?.querySelectorAll("button") ?? [];
  for (const one of buttons) one.disabled = true;
  let refusal: Refusal | null = null;
  try {
    await change(button);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    refusal = error;
  }
  for (const one of buttons) one.disabled = false;
  if (button.isConnected) button.focus({ preventScroll: true });
  await reload();
  if (refusal) showRefusal(refusal, true);
}

document.title = page ? `${isolated(page.title)} · fastlane` : "Not found · fastlane";
drawNav(page);
the("tools").append(...(page?.tools ?? []));
if (location.hash === "#search") document.querySelector<HTMLInputElement>("[data-search]")?.focus();
void account().then((link) => link && the("nav").append(link));
listen(() => void reload());
keepFresh(() => void reload());
if (page) void reload();
else the("page").replaceChildren(el("h1", {}, "There is no such page"));
