// The WebSocket of a log. A close with the reason `done` is the end. After any other close, it reconnects after five seconds and goes on
// from the last cursor. A server that is silent is asked for a sign of life, since a connection that is cut somewhere may look open for hours.

export type Message =
  | { cursor: string; stream: "stdout" | "stderr"; time: string; text: string }
  | { event: "attempt"; executionId: string; attempt: number }
  | { event: "failure"; reason: string; message: string }
  | { event: "pong" }
  | { event: "end"; status: string; exitCode: number | null };

export type State =
  | { is: "connecting" }
  | { is: "open" }
  | { is: "waiting"; until: number; why: "retry" | "lost" | "refused" }
  | { is: "held" }
  | { is: "done" }
  | { is: "missing" }
  | { is: "removed" }
  | { is: "barred"; status: number };

export interface ConnectionOptions {
  /** The socket's address, without a query. */
  url: URL;
  /** The HTTP status of the job or execution; null when the server does not answer. */
  check(): Promise<number | null>;
  onMessage(message: Message): void;
  onState(state: State): void;
}

const AGAIN_AFTER = 5_000;
/** Milliseconds of silence after which the server is asked for a sign of life, and those in which it answers, or lets the socket connect. */
const SILENCE = 4_000;
const ANSWERS_WITHIN = 4_000;
const CONNECTS_WITHIN = 10_000;

export class Connection {
  state: State = { is: "connecting" };
  cursor: string | null = null;
  private socket: WebSocket | null = null;
  private timer = 0;
  private listening = 0;
  private tail: number | null = null;
  /** When the server was last heard (milliseconds of `performance.now`), and since when it owes an answer; 0: it owes none. */
  private heard = 0;
  private asked = 0;

  private readonly online = (): void => this.now();

  constructor(private readonly options: ConnectionOptions) {
    addEventListener("online", this.online);
    this.listening = window.setInterval(() => this.listen(), 1_000);
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
    if (["done", "missing", "removed", "barred"].includes(this.state.is)) return;
    const { socket } = this;
    clearTimeout(this.timer);
    this.socket = null;
    socket?.close();
    this.become({ is: "held" });
  }

  /** Stops for good. */
  close(): void {
    removeEventListener("online", this.online);
    clearInterval(this.listening);
    this.hold();
  }

  /** Goes on where it was held, or where this user might not read on before they logged in again. */
  resume(): void {
    if (this.state.is === "held" || this.state.is === "barred") this.open();
  }

  /** Gives up: the log does not exist (404), or this user may not read it. */
  refuse(status: number): void {
    clearTimeout(this.timer);
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
    this.socket?.close();
    const socket = new WebSocket(url);
    let opened = false;
    this.socket = socket;
    this.become({ is: "connecting" });
    this.timer = window.setTimeout(() => socket === this.socket && this.lost(socket, "refused"), CONNECTS_WITHIN);
    socket.onopen = () => {
      if (socket !== this.socket) return;
      clearTimeout(this.timer);
      opened = true;
      this.hear();
      this.become({ is: "open" });
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      if (socket !== this.socket) return;
      this.hear();
      const message = JSON.parse(event.data) as Message;
      if ("event" in message && message.event === "pong") return;
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
    clearTimeout(this.timer);
    this.socket = null;
    socket?.close();
    const until = Date.now() + AGAIN_AFTER;
    this.timer = window.setTimeout(() => this.open(), AGAIN_AFTER);
    this.become({ is: "waiting", until, why });
    void this.look(until);
  }

  /** Checks whether it makes sense to reconnect. */
  private async look(until: number): Promise<void> {
    const refused = this.state.is === "waiting" && this.state.why === "refused";
    const status = await this.options.check();
    const removed = refused && status === 200 && this.cursor !== null && (await this.disowns(this.cursor));
    if (this.state.is !== "waiting" || this.state.until !== until) return;
    if (!removed && status !== 404 && status !== 401 && status !== 403) return;
    clearTimeout(this.timer);
    if (removed) this.become({ is: "removed" });
    else this.refuse(status!);
  }

  /** Whether the server says that it does not know this cursor: the execution that it is of was deleted. A socket does not tell why it was
   * refused. */
  private async disowns(cursor: string): Promise<boolean> {
    const url = new URL("logs", this.options.url);
    url.protocol = url.protocol.replace("ws", "http");
    url.search = new URLSearchParams({ follow: "1", from: cursor }).toString();
    try {
      return (await fetch(url, { method: "HEAD", headers: { "X-Requested-With": "fastlane" }, signal: AbortSignal.timeout(CONNECTS_WITHIN) })).status === 400;
    } catch {
      return false;
    }
  }

  private hear(): void {
    this.heard = performance.now();
    this.asked = 0;
  }

  /** Asks a silent server for a sign of life, and gives the connection up when none comes. */
  private listen(): void {
    if (this.state.is !== "open") return;
    const now = performance.now();
    if (this.asked && now - this.asked > ANSWERS_WITHIN) this.lost(this.socket, "lost");
    else if (!this.asked && now - this.heard > SILENCE) {
      this.asked = now;
      this.socket?.send("ping");
    }
  }

  private become(state: State): void {
    this.state = state;
    this.options.onState(state);
  }
}
