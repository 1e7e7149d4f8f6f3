// Who changed a job, when, and what.

import { el } from "../dom";
import { nothing, section } from "./parts";
import type { Event } from "./shapes";
import { ago } from "./times";

/** The events of a job that people make, as a query of the API. */
export const BY_PEOPLE = "job,backfill,execution.stop,delivery.requested";

const WORDS: Partial<Record<Event["kind"], string>> = {
  "job.created": "created it",
  "job.changed": "changed it",
  "job.run": "ran it by hand",
  "job.retried": "retried it",
  "backfill.begun": "began a backfill",
  "backfill.ended": "ended the backfill",
  "job.paused": "paused it",
  "job.resumed": "resumed it",
  "job.stopped": "stopped it",
  "execution.stop": "stopped a run",
  "delivery.requested": "had a message sent again",
};

interface Change {
  field: string;
  from: unknown;
  to: unknown;
}

/** What people did with it, the newest first. */
export function changes(events: readonly Event[]): HTMLElement {
  if (!events.length) return section("Who did what", null, nothing("No event of it is on record."));
  return section("Who did what", null, el("ul", { className: "waits history" }, ...events.map(row)));
}

/** The name of who did something: a user, or an address; null where nobody logs in. */
export const actorOf = (by: { user: string | null; address: string | null } | null | undefined): string | null => by?.user ?? by?.address ?? null;

function row(event: Event): HTMLElement {
  const words = event.kind === "job.changed" && event.detail.how === "start" ? "started its schedule" : (WORDS[event.kind] ?? event.kind);
  const found = Array.isArray(event.detail.changes) ? (event.detail.changes as Change[]) : [];
  const more = Number(event.detail.moreChanges ?? 0);
  return el(
    "li",
    { "data-key": event.id },
    el("b", {}, el("bdi", {}, actorOf(event.actor) ?? "Somebody")),
    ` ${words} `,
    el("span", { className: "muted" }, ago(event.time)),
    found.length > 0 && el("ul", { className: "fields" }, ...found.map(change), more > 0 && el("li", {}, `and ${more} more`)),
  );
}

function change({ field, from, to }: Change): HTMLElement {
  return el("li", {}, el("b", {}, field), ": ", shown(from), " → ", shown(to));
}

const shown = (value: unknown): HTMLElement =>
  value === null || value === undefined ? el("span", { className: "muted" }, "none") : el("code", {}, typeof value === "string" ? value : JSON.stringify(value));
