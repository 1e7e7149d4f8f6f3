// The receivers of messages about a job's ends and its lateness, and what became of the last messages.

import { el } from "../dom";
import { count, duration, sentence } from "../words";
import { facts, nothing, section, table } from "./parts";
import type { Delivery, Job, JobRow } from "./shapes";
import { ago, until } from "./times";

const WHEN = {
  fails: "When one fails",
  succeeds: "When one is done",
  finishes: "When one ends",
  late: "When it is late",
  recovered: "When it recovers",
  fixed: "When it is fixed",
  started: "When one starts",
} as const;

const STATES: Record<Delivery["state"], string> = { pending: "waits", delivered: "delivered", failed: "failed", held: "held back" };

const HELD = "a mail about this job’s failures went there shortly before; the next one counts this";

/** Whether anyone gets messages about the job. */
export const isHeard = (job: Job): boolean => job.receivers.length > 0;

const receiversOf = (job: Job, list: keyof typeof WHEN): string[] =>
  job.receivers.filter((one) => one.list === list).map((one) => `${one.receiver ?? "a webhook"}${one.ofPool ? " (its pool’s)" : ""}`);

/** The receivers, and the last messages, the newest first. */
export function notifications(job: Job, deliveries: readonly Delivery[]): HTMLElement {
  const rows = Object.entries(WHEN).map(([list, words]) => {
    const all = receiversOf(job, list as keyof typeof WHEN);
    return [words, all.length ? el("ul", { className: "envs" }, ...all.map((one) => el("li", {}, el("code", {}, one)))) : null] as const;
  });
  const columns = [
    { title: "Message", is: "grow" as const, cell: message },
    { title: "State", is: "number" as const, cell: (one: Delivery) => el("span", { className: one.state === "failed" ? "bad" : "" }, STATES[one.state]) },
  ];
  return section(
    "Notifications",
    null,
    isHeard(job) ? facts(rows) : nothing("Nobody gets a message when it fails."),
    deliveries.length > 0 && table("The last messages", columns, deliveries, (one) => one.id),
  );
}

function message(one: Delivery): HTMLElement {
  const last = one.attempts.at(-1);
  const reason = one.state === "held" ? HELD : one.state === "delivered" ? null : last?.error;
  return el(
    "div",
    {},
    el("code", {}, one.event),
    " to ",
    el("code", {}, one.receiver ?? one.kind),
    el("div", { className: "muted" }, ago(one.createdAt), one.attemptsMade > 1 && ` · ${count(one.attemptsMade)} attempts`, one.nextAttemptAt && el("span", {}, " · next ", until(one.nextAttemptAt))),
    reason && el("div", { className: "reason" }, sentence(reason)),
    one.receiverPaused && el("div", { className: "reason" }, "Its receiver is paused: every attempt has failed for a day."),
  );
}

/** How often something should succeed, given in seconds. */
export const expected = (seconds: number | null, doneBy: string | null): string =>
  seconds !== null ? `expected every ${duration(seconds * 1_000)}` : `expected by ${doneBy ?? ""}`;

/** How many receivers hear of what goes wrong with a job of a list, or that nobody does. A job that runs once and that nobody expects has no
 * mark where nobody hears of it: the person who posted it looks. */
export function heard({ receivers, schedule, expectEvery, doneBy }: JobRow): HTMLElement[] {
  const { fails, finishes, late } = receivers;
  const parts = [fails && `${count(fails)} of failures`, finishes && `${count(finishes)} of ends`, late && `${count(late)} of lateness`].filter(Boolean);
  const unheard = [
    schedule.kind === "cron" && !fails && !finishes && "nobody hears of failures",
    (expectEvery !== null || doneBy !== null) && !late && "nobody hears when it is late",
  ].filter((one) => one !== false);
  return [...(parts.length ? [el("span", {}, `receivers: ${parts.join(", ")}`)] : []), ...unheard.map((words) => el("span", { className: "unheard" }, words))];
}

/** What it means to be late, and whether anyone hears of it. */
export function lateWords(job: Job): string {
  const { expectEvery, doneBy } = job.spec;
  const expected = expectEvery !== null ? `It is expected to succeed every ${duration(expectEvery * 1_000)}, and has not.` : doneBy !== null ? `It is expected to have succeeded by ${doneBy}, and has not.` : "";
  return receiversOf(job, "late").length ? expected : `${expected} No mail or webhook says so: it has no receiver for that.`;
}
