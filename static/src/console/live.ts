// Keeps the page up to date: the server's stream of events says that something happened, and the page is read again. Says whether that works.

import { el, say, the } from "../dom";
import { moment } from "../words";
import { notice } from "./parts";
import { giveUpOld, root } from "./server";
import { tickTimes } from "./times";

/** Milliseconds between two readings, at least; a page that takes long to read is read for a tenth of the time at most, but a server that was
 * away puts no reading off for longer than `MOST_APART`. */
const APART = 1_000;
const SHARE = 10;
const MOST_APART = 20_000;
/** Milliseconds after the last event when the page is read once more: by then the server has counted what it counts late. */
const LATER = 40_000;
/** Seconds of silence after which the server sends a sign of life, and milliseconds of it after which the connection counts as lost. */
const PING = "3";
const SILENCE = 8_000;
/** Milliseconds before a lost stream is tried again, at first and at most. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 5_000;
/** Milliseconds before a page is read again that could not be read, though there is a stream. */
const READ_AGAIN = 5_000;

/** How a reading ended. What is not there, or not for this user, is not asked for again. */
export type Reading = "done" | "refused" | "unavailable";
type Is = "loading" | "live" | "lost" | "stale";
const WORDS: Record<Is, string> = { loading: "Loading", live: "Live", lost: "Not connected", stale: "Out of date" };

export class Live {
  private source: EventSource | null = null;
  private wait = FIRST_WAIT;
  private retry = 0;
  private due = 0;
  private later = 0;
  private silence = 0;
  private notBefore = 0;
  /** When there was a sign of life last. */
  private heard = 0;
  /** When it was lost; null while it is not. */
  private lost: Date | null = null;
  private ended = false;
  private failed = false;

  /** `events`: which events matter to the page, as a query of the API; null: none. `read` reads it, and says how that ended.
   * `askWhy` is called whenever there is no stream: a browser does not say what the server answered. */
  constructor(
    private readonly events: Record<string, string> | null,
    private readonly read: () => Promise<Reading>,
    private readonly askWhy: () => void,
  ) {}

  /** Reads the page, and then whenever something happens and someone looks at it. */
  start(): void {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    addEventListener("focus", () => this.lost && this.open());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.open());
    setInterval(() => !document.hidden && tickTimes(), 1_000);
    void this.now();
    if (!document.hidden) this.open();
  }

  /** Follows nothing more: the login has ended. */
  end(): void {
    this.ended = true;
    this.close();
    this.note();
  }

  /** Follows again, after someone has logged in, and reads the page. */
  resume(): void {
    this.ended = false;
    void this.now();
    if (!document.hidden) this.open();
  }

  /** Connects now, after a loss, in place of waiting, and reads the page. */
  reconnect(): void {
    this.wait = FIRST_WAIT;
    this.open();
    void this.now();
  }

  /** A request had no answer, so the stream may be lost, too, unless it gave a sign of life after the request; whether the page says that it
   * is lost. */
  unanswered(asked: number): boolean {
    if (this.source && !this.lost && this.heard < asked) this.again();
    return this.lost !== null;
  }

  /** Reads the page now. */
  async now(): Promise<void> {
    clearTimeout(this.due);
    this.due = 0;
    const begun = performance.now();
    const reading = await this.read();
    this.failed = reading !== "done";
    this.notBefore = performance.now() + (this.failed ? APART : Math.min(MOST_APART, Math.max(APART, (performance.now() - begun) * SHARE)));
    this.show();
    if (reading === "unavailable" && !this.lost && !this.ended) this.due ||= window.setTimeout(() => void this.now(), READ_AGAIN);
  }

  /** Reads the page as soon as that is due. */
  private soon(): void {
    this.due ||= window.setTimeout(() => void this.now(), Math.max(0, this.notBefore - performance.now()));
  }

  private happened(): void {
    this.soon();
    clearTimeout(this.later);
    this.later = window.setTimeout(() => !document.hidden && void this.now(), LATER);
  }

  private open(): void {
    this.close();
    if (this.ended || !this.events) return;
    const source = new EventSource(`${root}events?${new URLSearchParams({ follow: "1", ping: PING, ...this.events })}`);
    this.source = source;
    this.hear();
    for (const kind of ["open", "event", "ping"]) {
      source.addEventListener(kind, () => {
        this.heard = performance.now();
        this.hear();
      });
    }
    source.addEventListener("open", () => {
      const back = this.lost !== null;
      this.lost = null;
      this.wait = FIRST_WAIT;
      if (back) {
        say("The connection is back");
        giveUpOld();
        void this.now();
      } else this.soon(); // what happened before the stream began
      this.show();
    });
    source.addEventListener("event", () => this.happened());
    source.addEventListener("end", () => this.open());
    source.addEventListener("error", () => this.again());
  }

  /** The stream was lost, or there is none; it begins again after a while. */
  private again(): void {
    this.close();
    if (!this.lost) say("The connection was lost");
    this.askWhy();
    this.lost ??= new Date();
    this.show();
    this.retry = window.setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  /** Waits for the next sign of life: a connection that is cut somewhere may look open for hours. */
  private hear(): void {
    clearTimeout(this.silence);
    this.silence = window.setTimeout(() => this.again(), SILENCE);
  }

  private close(): void {
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    this.source?.close();
    this.source = null;
  }

  private show(): void {
    const open = this.source?.readyState === EventSource.OPEN;
    const is: Is = this.lost ? "lost" : this.failed ? "stale" : open ? "live" : "loading";
    the("live").hidden = !this.events && !this.failed;
    the("live").dataset.is = is;
    the("live-words").textContent = WORDS[is];
    this.note();
  }

  /** Says above the page since when it is not connected. */
  private note(): void {
    const place = the("lost");
    if (!this.lost || this.ended) return place.replaceChildren();
    if (place.childElementCount) return;
    const box = notice("warn", `Not connected since ${moment(this.lost.toISOString())}. What you see may be out of date.`);
    box.append(el("button", { type: "button", "data-act": "reconnect" }, "Reconnect now"));
    place.replaceChildren(box);
  }
}
