// The job's executions, as far as the page has read them, and which of them are attempts at the same tick. Pure.

import { type Execution, FINAL } from "../api";

export class Executions {
  private readonly known = new Map<string, Execution>();
  private newest: readonly Execution[] = [];

  /** Takes the newest executions; `total` is how many there are. */
  update(newest: readonly Execution[], total: number): void {
    if (total <= newest.length) this.known.clear();
    this.newest = newest;
    this.add(newest);
  }

  add(more: readonly Execution[]): void {
    for (const one of more) this.known.set(one.executionId, one);
  }

  get(id: string): Execution | undefined {
    return this.known.get(id);
  }

  /** All that are known, newest first. */
  get all(): readonly Execution[] {
    const known = new Set(this.newest.map((one) => one.executionId));
    const older = [...this.known.values()].filter((one) => !known.has(one.executionId));
    return [...this.newest, ...older.sort((a, b) => b.createdAt.localeCompare(a.createdAt))];
  }

  /** Those that have not ended. */
  get unfinished(): readonly Execution[] {
    return this.all.filter((one) => !FINAL.has(one.status));
  }

  /** Those that have not ended and are not among the newest: they have to be read one by one. */
  get stale(): readonly Execution[] {
    return this.unfinished.filter((one) => !this.newest.includes(one));
  }

  /** The attempts at the tick of this execution, first to last. */
  attempts(of: Execution): readonly Execution[] {
    return this.all.filter((one) => one.queueJobId === of.queueJobId).sort((a, b) => a.attempt - b.attempt);
  }

  /** The attempt after this one. */
  after(of: Execution): Execution | undefined {
    return this.attempts(of).find((one) => one.attempt === of.attempt + 1);
  }

  /** The last attempt at the tick of this execution that has started, and so has a log. */
  lastStarted(of: Execution): Execution | undefined {
    return this.attempts(of).findLast((one) => one.startedAt);
  }

  /** The attempt whose state its tick has: the last that has started or ended; of the newest tick that has started, without an id. */
  state(id: string | null): Execution | null {
    const of = id ? this.known.get(id) : (this.all.find((one) => one.startedAt) ?? this.all[0]);
    if (!of) return null;
    const attempts = this.attempts(of);
    return attempts.findLast((one) => one.startedAt || FINAL.has(one.status)) ?? attempts.at(-1) ?? null;
  }
}
