// What the pages of a job and of one execution share: what was read is kept for their buttons, and the end of a log follows.

import type { Execution } from "../api";
import { el } from "../dom";
import { act, type Subject } from "./actions";
import type { Page } from "./page";
import { section } from "./parts";
import { Tail } from "./tail";

interface Shape<Read> {
  nav: Page["nav"];
  title: string;
  /** The id of the job whose events have the page read again. */
  job: string;
  /** Reads all that is shown; null when another address has it. */
  read(): Promise<Read | null>;
  /** The subject of the page's buttons. */
  subjectOf(read: Read): Subject;
  draw(read: Read, tail: Tail): HTMLElement[];
}

export function subjectPage<Read>({ nav, title, job, read, subjectOf, draw }: Shape<Read>): Page {
  let shown: Read | null = null;
  const tail = new Tail();
  return {
    nav,
    title,
    events: { job },
    acts: {
      async job(button) {
        if (shown !== null) await act(button, subjectOf(shown));
      },
    },
    async load() {
      const found = await read();
      if (found === null) return () => [];
      shown = found;
      return () => draw(found, tail);
    },
  };
}

/** The last lines of an execution's log. They come by themselves. `aside`: stands beside the heading. */
export function logSection(one: Execution, tail: Tail, aside: Node): HTMLElement {
  const box = el("div", { className: "tail", tabIndex: 0, role: "log", "aria-live": "off", "aria-label": "The last lines of the log", "data-own": "", "data-key": "tail" });
  queueMicrotask(() => tail.show(one, document.querySelector<HTMLElement>("#page .tail") ?? box));
  return section("Log", aside, box);
}
