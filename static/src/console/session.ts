// Who is logged in, and what they may do.

import { el } from "../dom";
import { get, root } from "./server";

export interface Session {
  needsLogin: boolean;
  user: string | null;
  role: "read" | "trigger" | "run" | "admin" | null;
  canLogOut: boolean;
}

let asked: Promise<Session> | null = null;

/** Whether a ticket opened this page, so that nobody may have to log in for it. */
const byTicket = document.documentElement.dataset.visit === "yes";

/** Asked once for each page. The browser is asked for a password when it needs one. */
export function session(): Promise<Session> {
  asked ??= get<Session>(`${root}session${byTicket ? "" : "?login=1"}`);
  asked.catch(() => (asked = null));
  return asked;
}

/** Has it asked again, after someone logged in or out. */
export function forget(): void {
  asked = null;
}

/** Whether this person has not logged in and sees this page only, by a ticket. */
export const isVisitor = ({ needsLogin, user }: Session): boolean => needsLogin && !user;

/** Why this person may not change jobs; null if they may. */
export const readOnly = ({ needsLogin, role }: Session): string | null => {
  if (!needsLogin || role === "run" || role === "admin") return null;
  if (role === "trigger") return "Your role is trigger: run and stop jobs by fastlane run-now and fastlane stop, or over HTTP.";
  return `Your role is ${role ?? "unknown"}, which may read and not change.`;
};

/** Why this person may not change pools and hosts; null if they may. */
export const administers = ({ needsLogin, role }: Session): string | null =>
  needsLogin && role !== "admin" ? `Your role is ${role ?? "unknown"}; only administrators pause pools and drain hosts.` : null;

/** The name of who is logged in, which leads to where they log out if they can; null where nobody has to log in. */
export async function account(): Promise<HTMLElement | null> {
  const who = await session().catch(() => null);
  if (!who?.user) return null;
  const title = `Logged in as ${who.user} (${who.role})`;
  const name = el("bdi", {}, who.user);
  return who.canLogOut ? el("a", { href: `${root}login`, className: "account", title }, name) : el("span", { className: "account", title }, name);
}
