// Creates or changes the job, once: a request whose answer was lost is sent again under the same key, by which the server knows it.

import { exchange, Refusal } from "../server";
import { compact, type Fields } from "./json";
import type { Target } from "./target";

/** The ids of the job that was created or changed. */
export interface Created {
  taskId: string;
  jobId: string;
}

export class Sender {
  private key = newKey();
  /** The task of a request after which the job may be there, or not. */
  private unsure: string | null = null;

  /** The task that may have the job already. */
  get mayBeIn(): string | null {
    return this.unsure;
  }

  constructor(private readonly target: Target) {}

  /** Throws a Refusal. */
  async send(task: string, body: Fields): Promise<Created> {
    const { method, headers, content } = this.target;
    try {
      const answer = await exchange(method, this.target.url(task), compact(content(body)), { ...headers, "Idempotency-Key": this.key });
      this.unsure = null;
      this.key = newKey();
      return JSON.parse(answer) as Created;
    } catch (error) {
      if (error instanceof Refusal) this.learn(task, error.status);
      throw error;
    }
  }

  private learn(task: string, status: number | null): void {
    if (status === null || status >= 500) this.unsure ??= task;
    // The key belongs to what was sent before, which is not to be sent again.
    else if (status === KEY_REUSED || this.unsure === null) this.key = newKey();
  }
}

export const KEY_REUSED = 422;

/** A page without TLS has no `randomUUID`. */
const newKey = (): string => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
