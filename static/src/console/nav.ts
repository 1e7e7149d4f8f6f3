// The navigation, which is the same on all pages.

import { el, the } from "../dom";
import { pages, root } from "./server";
import { account } from "./session";

const LINKS = [
  ["overview", "Overview", pages.overview],
  ["tasks", "Tasks", pages.tasks],
  ["executions", "Executions", pages.executions()],
  ["hosts", "Hosts", pages.hosts],
  ["api", "API", `${root}docs`],
] as const;

/** Shows the links to the pages, of which `current` is the name of this one's, and who is logged in. */
export function drawNav(current: string | null): void {
  const links = LINKS.map(([name, words, href]) => el("a", { href, "aria-current": name === current ? "page" : null }, words));
  the("nav").replaceChildren(...links);
  drawAccount();
}

/** Shows who is logged in now. */
export function drawAccount(): void {
  void account().then((link) => {
    document.querySelector("#nav .account")?.remove();
    if (link) the("nav").append(link);
  });
}
