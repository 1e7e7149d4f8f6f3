// What the page says about its connection. While a job waits, the server soon closes each connection and the page reconnects. The page then
// says that it reconnects, and does not report each time.

import type { State } from "./connection";
import { say, the } from "../dom";
import { askLogin } from "../loginform";
import { sentence } from "../words";
import { notice, tick } from "./notices";

/** Milliseconds that a silent connection must last before it is shown as live, because the server may close it at once. */
const LASTS = 700;

const WORDS: Record<State["is"], string> = {
  connecting: "Connecting",
  open: "Live",
  waiting: "Reconnecting",
  held: "Paused",
  done: "Ended",
  missing: "Not connected",
  removed: "Not connected",
  barred: "Not allowed",
};
export const RECONNECT = "Reconnect now";
const BARRED: Record<number, string> = {
  401: "You are not logged in here. If you followed a link, it was used before or is too old. Ask for a new one.",
  403: "You may not read this log: your user is limited to other tasks.",
};

export interface LinkOptions {
  /** Whether the job or execution has started. */
  started(): boolean;
  /** What is followed, as a word, if it was there when the page looked before; null if it was never there. */
  existed(): "job" | "execution" | null;
  /** Connects now. */
  connect(): void;
  /** Called when another state is shown. */
  onShow(state: State): void;
}

export class Link {
  private timer = 0;
  private next: State | null = null;
  private shown: State | null = null;

  constructor(private readonly options: LinkOptions) {}

  /** Shows a new state of the connection. */
  draw(state: State): void {
    clearTimeout(this.timer);
    this.next = null;
    const before = this.shown;
    if (before?.is === "waiting" && state.is === "connecting") return tick();
    if (state.is === "open" && (before?.is === "connecting" || (before?.is === "waiting" && before.why === "retry"))) {
      this.next = state;
      this.timer = window.setTimeout(() => this.lasts(), LASTS);
      return;
    }
    this.show(state);
  }

  /** Shows the connection as live, because something arrived. */
  lasts(): void {
    clearTimeout(this.timer);
    if (this.next) this.show(this.next);
    this.next = null;
  }

  private show(state: State): void {
    this.shown = state;
    const looks = state.is === "waiting" && state.why === "retry" && !this.options.started();
    the("live").dataset.is = looks ? "looks" : state.is;
    the("live-words").textContent = away(state) ? WORDS.missing : WORDS[state.is];
    const counter = the("live-count");
    counter.textContent = "";
    if (state.is === "waiting" && !away(state)) counter.dataset.until = String(state.until);
    else delete counter.dataset.until;
    this.note(state, looks);
    if (state.is !== "connecting") say(spoken(state, looks));
    this.options.onShow(state);
    tick();
  }

  private note(state: State, looks: boolean): void {
    const button = { words: RECONNECT, act: () => this.options.connect() };
    if (state.is === "waiting" && !looks) {
      notice("link", { tone: state.why === "retry" ? "info" : "warn", words: [reason(state.why)], until: state.until, button });
    } else if (state.is === "missing") {
      const existed = this.options.existed();
      const words = existed ? `This ${existed} was deleted.` : "There is nothing at this address.";
      notice("link", { tone: "bad", words: [words], button: { words: "Reload", act: () => location.reload() } });
    } else if (state.is === "removed") {
      const words = ["The run whose log is shown was deleted on the server. What was read stays here."];
      notice("link", { tone: "warn", words, button: { words: "Show the newest run", act: () => location.reload() } });
    } else if (state.is === "barred") {
      const words = [BARRED[state.status] ?? `The server does not let you read this (${state.status}).`];
      const login = state.status === 401 ? { words: "Log in", act: () => void askLogin().catch((error: unknown) => say(sentence((error as Error).message))) } : undefined;
      notice("link", { tone: "bad", words, button: login });
    } else {
      notice("link", null);
    }
  }
}

/** Whether the server cannot be reached, rather than that it has nothing more to send for now. */
const away = (state: State): boolean => state.is === "waiting" && state.why !== "retry";

function reason(why: "retry" | "lost" | "refused"): string {
  if (why === "lost") return "The connection was lost. Reconnecting";
  return why === "refused" ? "The server cannot be reached. Reconnecting" : "The log has not ended yet. Reconnecting";
}

/** The words for screen readers: the same for each try, so that they are said once. */
function spoken(state: State, looks: boolean): string {
  if (looks) return "Nothing has started yet. The page reconnects every 5 seconds.";
  return state.is === "waiting" ? `${reason(state.why)} every 5 seconds` : WORDS[state.is];
}
