// How an execution ended, in one line for people: the reason, the limit that it met, and what is left of its retries. Pure.

import { type Execution, FINAL, statusWords } from "./api";
import { duration, moment } from "./words";

/** The failures that are tried again. */
const RETRIED = new Set(["exit", "oom", "killed", "host-lost", "engine"]);

/** How long the execution ran, or has run so far, in milliseconds; null before its start. */
export function running(one: Execution): number | null {
  if (!one.startedAt) return null;
  if (one.durationMs !== null) return one.durationMs;
  const end = one.finishedAt ? Date.parse(one.finishedAt) : Date.now();
  return Math.max(0, end - Date.parse(one.startedAt));
}

/** Which attempt it is, where there may be several: attempt 2 of 3. */
export function attemptWords(one: Execution): string | null {
  if (one.attempt === 1 && one.retries === 0) return null;
  return `attempt ${one.attempt} of ${Math.max(one.attempt, one.retries + 1)}`;
}

/** Why an execution did not do its work, as a sentence's words without its end; null where there is nothing to explain. */
export function reasonWords(one: Execution): string | null {
  if (!FINAL.has(one.status)) return null;
  const which = attemptWords(one) ?? "";
  if (one.status === "timedout") {
    const time = running(one);
    const limit = one.timeout === null ? "the server's limit" : `limit ${duration(one.timeout * 1_000)}`;
    return `${which} timed out${time === null ? "" : ` after ${duration(time)}`} (${limit})`.trim();
  }
  if (one.status === "expired") {
    const words = one.expiresAt ? `it had not started by ${moment(one.expiresAt)}` : "it had not started before it expired";
    return `${which} ${statusWords(one.status)}: ${words}`.trim();
  }
  return one.failure ? `${which} ${statusWords(one.status)}: ${one.failure.message}`.trim() : null;
}

/** The attempt after a failed one: when it is due (milliseconds), and whether it has started or ended. */
export interface NextAttempt {
  attempt: number;
  due: number;
  begun: boolean;
}

/** What is left of the retries of an execution that ended badly. `over`: no attempt will follow that is not known. */
export function retryWords(one: Execution, next: NextAttempt | null, over: boolean): string {
  if (one.status !== "failed" || !RETRIED.has(one.failure?.reason ?? "")) return one.retries ? "This is not retried." : "";
  if (!one.retries) return "No retries were asked for.";
  const left = Math.max(0, one.retries - one.attempt + 1);
  if (!left) return `No retries left (${one.retries} of ${one.retries} used).`;
  const words = `${left} of ${one.retries} retries left`;
  if (next?.begun) return `Attempt ${next.attempt} followed.`;
  if (next) return `${words}; attempt ${next.attempt} is due at ${moment(new Date(next.due).toISOString())},`;
  return over ? `${words}, but none follows: the job was stopped, or the next attempt would have come too late.` : `${words}.`;
}

/** The words of an attempt's heading in the log. */
export function headingWords(one: Execution | undefined, attempt: number): string {
  if (!one) return `Attempt ${attempt}`;
  const time = running(one);
  const parts = [
    `Attempt ${one.attempt} of ${Math.max(one.attempt, one.retries + 1)}`,
    statusWords(one.status),
    one.exitCode === null ? null : `exit code ${one.exitCode}`,
    FINAL.has(one.status) && time !== null ? duration(time) : null,
    one.startedAt && moment(one.startedAt),
  ];
  return parts.filter(Boolean).join(" · ");
}
