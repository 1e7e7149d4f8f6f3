// How much of a log the page asks for. Pure.

import type { Execution } from "../api";

/** For a log of more than this many bytes, the page asks for the last lines only. */
const LARGE = 48_000_000;
export const LAST_LINES = 100_000;

export interface Plan {
  /** The execution whose log comes first. */
  first: Execution;
  /** Attempts before it that are not asked for. */
  skipped: number;
  /** Whether its log is asked for from the beginning. */
  whole: boolean;
}

/** What to ask for: all of these attempts, at whose logs the page looks, if that is sensible, or else the last of them, or only its end.
 * `named`: the address names lines of the last one, so that all of its log is needed. */
export function planFor(attempts: readonly Execution[], named: boolean): Plan {
  let at = attempts.length;
  for (let sum = 0; at > 0 && (sum += size(attempts[at - 1]!)) <= LARGE; ) at--;
  if (at === attempts.length) return { first: attempts.at(-1)!, skipped: named ? attempts.at(-1)!.attempt - 1 : 0, whole: named };
  return { first: attempts[at]!, skipped: at && attempts[at]!.attempt - 1, whole: true };
}

function size({ logInfo }: Execution): number {
  return logInfo.stdoutBytes + logInfo.stderrBytes;
}
