// The last lines of an execution's log, as they come.

import { type Execution, read } from "../api";
import { el } from "../dom";
import { Colours } from "../log/colours";
import { commandOf } from "../log/commands";
import { Connection, type Message } from "../log/connection";
import { type Growth, Lines } from "../log/lines";
import { row } from "../log/row";
import { executionOf, socketOf } from "./server";

const KEPT = 100;
/** Milliseconds for which arriving text is collected before it is shown. */
const GATHER = 60;
/** Pixels from the end within which the end stays in view. */
const CLOSE = 24;

export class Tail {
  private id = "";
  private isAnnotated = true;
  private place: HTMLElement | null = null;
  private connection: Connection | null = null;
  private lines = new Lines();
  private timer = 0;
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");

  constructor() {
    this.darkness.addEventListener("change", () => this.draw());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.connection?.hold() : this.connection?.resume()));
  }

  /** Shows the log of an execution in this element, and follows it. */
  show(one: Execution, place: HTMLElement): void {
    const isSame = this.id === one.executionId;
    if (isSame) this.connection?.resume();
    if (isSame && this.place === place) return;
    this.place = place;
    if (!isSame) this.follow(one);
    this.draw();
  }

  private follow({ executionId, taskId, jobId, annotations }: Execution): void {
    this.isAnnotated = annotations ?? true;
    this.connection?.close();
    this.id = executionId;
    this.begin();
    this.connection = new Connection({
      url: socketOf(taskId, jobId, executionId),
      check: async () => (await read(new URL(executionOf(taskId, jobId, executionId)))).status,
      onMessage: (message) => this.receive(message),
      onState: ({ is }) => is === "done" && this.soon(),
    });
    this.connection.begin({ tail: KEPT });
  }

  /** The lines of a log whose beginning is not asked for. */
  private begin(): void {
    this.lines = new Lines();
    this.lines.beginWithin();
  }

  private receive(message: Message): void {
    if (!("cursor" in message)) return;
    const growth: Growth = { added: [], changed: new Set() };
    this.lines.add(message.stream, message.time, message.text, growth);
    this.lines.drop(Math.max(0, this.lines.all.length - KEPT));
    this.soon();
  }

  private soon(): void {
    this.timer ||= window.setTimeout(() => this.draw(), GATHER);
  }

  private draw(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    const { place } = this;
    if (!place) return;
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < CLOSE;
    const colours = new Colours(this.darkness.matches);
    const is = this.connection?.state.is;
    const words = is === "done" ? "It wrote nothing." : is === "barred" ? "You may not read it." : "It has written nothing yet.";
    place.replaceChildren(...(this.lines.all.length ? this.lines.all.map((line) => row(line, colours, this.isAnnotated ? commandOf(line) : null)) : [el("p", { className: "muted" }, words)]));
    if (atEnd) place.scrollTop = place.scrollHeight;
  }
}
