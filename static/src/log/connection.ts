// The WebSocket of a log. A close with the reason `done` is the end. After any other close, it reconnects after five seconds and goes on
// from the last cursor.

export type Message =
  | { cursor: string; stream: "stdout" | "stderr"; time: string; text: string }
  | { event: "attempt"; executionId: string; attempt: number }
  | { event: "failure"; reason: string; message: string }
  | { event: "end"; status: string; exitCode: number | null };

export type State =
  | { is: "connecting" }
  | { is: "open" }
  | { is: "waiting"; until: number; why: "retry" | "lost" | "refused" }
  | { is: "held" }
  | { is: "done" }
  | { is: "missing" }
  | { is: "barred"; status: number };

export interface ConnectionOptions {
  /** The socket's address, without a query. */
  url: URL;
  /** The HTTP status of the job or execution; null when the server does not answer. */
  check(): Promise<number | null>;
  onMessage(message: Message): void;
  onState(state: State): void;
  /** Called when the log starts over, because the cursor is no longer accepted. */
  onRestart(): void;
}

const AGAIN_AFTER = 5_000;
/** After this many refusals in a row, the socket connects without its cursor. */
const REFUSALS = 3;

export class Connection {
  state: State = { is: "connecting" };
  cursor: string | null = null;
  private socket: WebSocket | null = null;
  private timer = 0;
  private refusals = 0;
  private tail: number | null = null;

  private readonly online = (): void => this.now();

  constructor(private readonly options: ConnectionOptions) {
    addEventListener("online", this.online);
  }

  /** Connects for the first time; with `tail`, for this many last lines only; with `from`, after that cursor. */
  begin({ tail = null, from = null }: { tail?: number | null; from?: string | null } = {}): void {
    this.tail = tail;
    this.cursor = from;
    this.open();
  }

  /** Connects now instead of waiting. */
  now(): void {
    if (this.state.is !== "waiting") return;
    clearTimeout(this.timer);
    this.open();
  }

  /** Stops for now, until `resume`; there is nothing to stop after the end. */
  hold(): void {
    if (this.state.is === "done" || this.state.is === "missing" || this.state.is === "barred") return;
    const { socket } = this;
    clearTimeout(this.timer);
    this.socket = null;
    socket?.close();
    this.become({ is: "held" });
  }

  /** Stops for good. */
  close(): void {
    removeEventListener("online", this.online);
    this.hold();
  }

  /** Goes on where it was held. */
  resume(): void {
    if (this.state.is === "held") this.open();
  }

  /** Gives up: the log does not exist (404), or this user may not read it. */
  refuse(status: number): void {
    this.become(status === 404 ? { is: "missing" } : { is: "barred", status });
  }

  /** Closes an open socket because the server no longer answers, which the socket may not have noticed. */
  suspect(): void {
    if (this.state.is === "open") this.lost(this.socket, "lost");
  }

  private open(): void {
    const url = new URL(this.options.url);
    url.searchParams.set("format", "json");
    if (this.cursor) url.searchParams.set("from", this.cursor);
    else if (this.tail) url.searchParams.set("tail", String(this.tail));
    const socket = new WebSocket(url);
    let opened = false;
    this.socket = socket;
    this.become({ is: "connecting" });
    socket.onopen = () => {
      opened = true;
      this.refusals = 0;
      this.become({ is: "open" });
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      if (socket !== this.socket) return;
      const message = JSON.parse(event.data) as Message;
      if ("cursor" in message) this.cursor = message.cursor;
      this.options.onMessage(message);
    };
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      if (event.reason === "done") this.become({ is: "done" });
      else this.lost(socket, event.reason === "retry" ? "retry" : opened ? "lost" : "refused");
    };
  }

  private lost(socket: WebSocket | null, why: "retry" | "lost" | "refused"): void {
    this.socket = null;
    socket?.close();
    if (why === "refused" && this.cursor && ++this.refusals >= REFUSALS) {
      this.cursor = null;
      this.options.onRestart();
    }
    const until = Date.now() + AGAIN_AFTER;
    this.timer = window.setTimeout(() => this.open(), AGAIN_AFTER);
    this.become({ is: "waiting", until, why });
    void this.look(until);
  }

  /** Checks whether it makes sense to reconnect. */
  private async look(until: number): Promise<void> {
    const status = await this.options.check();
    if (this.state.is !== "waiting" || this.state.until !== until) return;
    if (status !== 404 && status !== 401 && status !== 403) return;
    clearTimeout(this.timer);
    this.refuse(status);
  }

  private become(state: State): void {
    this.state = state;
    this.options.onState(state);
  }
}
