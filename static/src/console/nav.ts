// The navigation, which is the same on all pages.

import { el, the } from "../dom";
import { here, pages, root } from "./server";
import { account } from "./session";

const LINKS = [
  ["overview", "Overview", pages.overview],
  ["tasks", "Tasks", pages.tasks],
  ["jobs", "Jobs", pages.jobs()],
  ["executions", "Executions", pages.executions()],
  ["hosts", "Hosts", pages.hosts],
  ["api", "API", `${root}docs`],
] as const;

/** Shows the links to the pages, of which `current` is the name of this one's, and who is logged in. */
export function drawNav(current: string | null): void {
  const links = LINKS.map(([name, words, href]) => el("a", { href, "aria-current": name === current ? "page" : null }, words));
  the("nav").replaceChildren(...links);
  document.getElementById("new")?.remove();
  the("nav").after(el("a", { href: pages.newJob(ofTask()), id: "new", "aria-current": current === "new" ? "page" : null }, "New job"));
  drawAccount();
}

/** The task that this page is about, for a new job of it. */
function ofTask(): Record<string, string> {
  const path = here();
  const [tasks, task] = path[0] === "console" ? path.slice(1) : path;
  return tasks === "tasks" && task ? { task } : {};
}

/** Shows who is logged in now. */
export function drawAccount(): void {
  void account().then((link) => {
    document.querySelector("#nav .account")?.remove();
    if (link) the("nav").append(link);
  });
}
