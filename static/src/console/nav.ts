// The navigation, which is the same on all pages. Its links are in the page itself, so that it stands there before any script runs.

import { the } from "../dom";
import { here, pages } from "./server";
import { account } from "./session";

/** Marks the link of the page of this name, and shows who is logged in. A link to a log by a ticket (`data-visit`) has no navigation until it is
 * known that this person may use it. */
export function drawNav(current: string | null): void {
  delete document.documentElement.dataset.visit;
  for (const link of document.querySelectorAll<HTMLAnchorElement>("[data-page]")) {
    if (link.dataset.page === current) link.setAttribute("aria-current", "page");
  }
  the<HTMLAnchorElement>("new").href = pages.newJob(ofTask());
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
  void account().then((link) => the("who").replaceChildren(...(link ? [link] : [])));
}
