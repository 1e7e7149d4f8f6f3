// Hears from the server's stream of events that something happened to the job.

import type { Place } from "../api";

/** Milliseconds in which events that come together count as one. */
const TOGETHER = 300;
/** Milliseconds after a failure in which the stream is not opened again. */
const REST = 30_000;

export class JobEvents {
  private source: EventSource | null = null;
  private timer = 0;
  private notBefore = 0;

  /** `happened` is called after each event, and when the stream begins. */
  constructor(
    private readonly here: Place,
    private readonly happened: () => void,
  ) {}

  /** Whether events arrive. */
  get live(): boolean {
    return this.source?.readyState === EventSource.OPEN;
  }

  /** Opens the stream if there is none. A page that nobody looks at has none: a browser keeps only a few connections to a server. */
  open(): void {
    if (this.source || document.hidden || performance.now() < this.notBefore) return;
    const source = new EventSource(`${this.here.root}events?${new URLSearchParams({ follow: "1", job: this.here.job })}`);
    this.source = source;
    for (const kind of ["open", "event"]) source.addEventListener(kind, () => this.soon());
    source.addEventListener("end", () => this.close());
    source.addEventListener("error", () => {
      this.close();
      this.notBefore = performance.now() + REST;
    });
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    this.source?.close();
    this.source = null;
  }

  private soon(): void {
    this.timer ||= window.setTimeout(() => {
      this.timer = 0;
      this.happened();
    }, TOGETHER);
  }
}
