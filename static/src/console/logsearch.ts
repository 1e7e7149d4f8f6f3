// The search in the logs of a task's runs: hits are shown as they are found, each with a link to its line on the page of the log.

import { el, say } from "../dom";
import { count, moment, sentence, shortId, size } from "../words";
import { link } from "./parts";
import { api, FROM_PAGE, logOf, Refusal } from "./server";

interface Run {
  cursor: string;
  taskId: string;
  jobId: string;
  executionId: string;
  scheduledFor: string;
}
interface Hit extends Run {
  number: number;
  time: string;
  text: string;
  match: [number, number];
}
interface Counts {
  runs: number;
  bytes: number;
  missing: Record<string, number>;
}
interface End extends Counts {
  limited: boolean;
  removedBefore: string | null;
}

/** Hits that are shown: more would be too long a page. */
const MOST = 500;
/** How often a search that was cut goes on by itself, and milliseconds before each. */
const AGAIN = 5;
const AGAIN_AFTER = 2_000;
const TIMES = [
  ["1d", "a day"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["", "any time"],
] as const;
const MISSING: Record<string, string> = { removed: "removed", truncated: "not kept whole", unreadable: "unreadable" };

/** The field, and what it finds below it. */
export function logSearch(task: string): HTMLElement {
  const pattern = el("input", { type: "search", name: "pattern", required: true, maxLength: 1_000, placeholder: "Text or regular expression", "aria-label": "Search the logs", autocomplete: "off", autocapitalize: "off", spellcheck: false });
  const since = el("select", { name: "since" }, ...TIMES.map(([value, words]) => el("option", { value, selected: value === "7d" }, words)));
  const exact = el("input", { type: "checkbox", name: "exact" });
  const button = el("button", { type: "submit" }, "Search");
  const outcome = el("p", { className: "outcome", role: "status" });
  const hits = el("ol", { className: "hits" });
  const field = el("label", {}, el("span", {}, "Runs of"), since);
  const form = el("form", {}, pattern, field, el("label", {}, exact, "Upper and lower case differ"), button);
  let search: AbortController | null = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (search) return search.abort();
    const mine = (search = new AbortController());
    button.textContent = "Stop";
    hits.replaceChildren();
    const query = { pattern: pattern.value, task, limit: String(MOST), ...(since.value && { since: since.value }), ...(!exact.checked && { ignoreCase: "1" }) };
    const shown = new Shown(hits, outcome);
    void shown
      .run(query, mine.signal)
      .catch((error: unknown) => (outcome.textContent = sentence((error as Error).message)))
      .finally(() => {
        search = null;
        button.textContent = "Search";
        say(outcome.textContent ?? "");
      });
  });
  return el("details", { className: "logsearch" }, el("summary", {}, "Search the logs"), form, outcome, hits);
}

/** One search, and what it has found so far. */
class Shown {
  private cursor: string | null = null;
  private hits = 0;
  private begun = 0;

  constructor(
    private readonly list: HTMLElement,
    private readonly outcome: HTMLElement,
  ) {}

  /** Searches to the end, or until it is stopped. Throws a Refusal. */
  async run(query: Record<string, string>, stopped: AbortSignal): Promise<void> {
    this.outcome.textContent = "Searching…";
    for (;;) {
      const left = String(MOST - this.hits);
      const isOver = await this.connection(api.logSearch({ ...query, limit: left, ...(this.cursor && { from: this.cursor }) }), stopped);
      if (stopped.aborted) return void (this.outcome.textContent = `Stopped. ${this.found()}.`);
      if (isOver) return;
      if (++this.begun > AGAIN) throw new Refusal(null, `The connection was lost, so not all was searched. ${this.found()}.`);
      await new Promise((done) => setTimeout(done, AGAIN_AFTER));
    }
  }

  /** Shows what comes over one connection; whether that was the end. */
  private async connection(url: string, signal: AbortSignal): Promise<boolean> {
    let answer: Response;
    try {
      answer = await fetch(url, { signal, headers: { Accept: "text/event-stream", ...FROM_PAGE } });
    } catch {
      return false;
    }
    if (!answer.ok || !answer.body) {
      const { detail } = (await answer.json().catch(() => ({}))) as { detail?: string };
      throw new Refusal(answer.status, detail ?? `The server refused this (${answer.status}).`);
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return false;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop()!;
        for (const block of blocks) if (this.take(block)) return true;
      }
    } catch {
      return false;
    }
  }

  /** Shows an event; whether it was the last. */
  private take(block: string): boolean {
    const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
    const data: unknown = JSON.parse(fields.get("data") ?? "{}");
    const kind = fields.get("event");
    if (kind === "failure") throw new Refusal(null, (data as { detail: string }).detail);
    if (kind === "end") return this.end(data as End);
    this.cursor = (data as Run).cursor;
    if (kind === "hit") this.show(data as Hit);
    else if (kind === "progress") this.outcome.textContent = `Searching… ${this.found()} so far, in ${size((data as Counts).bytes)}`;
    return false;
  }

  private show({ taskId, jobId, executionId, number, time, text, match: [begin, end] }: Hit): void {
    this.hits++;
    const place = link(`${logOf(taskId, jobId, executionId)}#L${number}`, `${shortId(executionId)}:${number}`);
    const words = el("code", {}, text.slice(0, begin), el("mark", {}, text.slice(begin, end)), text.slice(end));
    this.list.append(el("li", {}, el("span", { className: "where" }, place, " ", el("time", { dateTime: time }, moment(time))), words));
  }

  private end({ runs, bytes, missing, limited, removedBefore }: End): true {
    const gone = Object.entries(missing).map(([reason, many]) => `${count(many)} ${MISSING[reason] ?? reason}`);
    const more = limited ? " There may be more: search fewer runs, or use `fastlane grep`." : "";
    const lost = gone.length ? ` Not searched whole: the logs of some runs (${gone.join(", ")}).` : "";
    const old = removedBefore && !limited ? ` Runs that ended before ${moment(removedBefore)} may be removed whole.` : "";
    this.outcome.textContent = `${this.found()}, in ${count(runs)} ${runs === 1 ? "log" : "logs"} with ${size(bytes)}.${more}${lost}${old}`;
    return true;
  }

  private found(): string {
    return this.hits === 1 ? "1 line" : `${count(this.hits)} lines`;
  }
}
