// Who is logged in, and what they may do.

import { el } from "../dom";
import { get, root } from "./server";

export interface Session {
  needsLogin: boolean;
  user: string | null;
  role: "read" | "trigger" | "run" | "admin" | null;
  canLogOut: boolean;
  /** What people log in with here, and what this person did. */
  credentials: ("password" | "token")[];
  credential: "password" | "token" | null;
}

/** Under this name, the browser's tab keeps where someone was who went to log in or out. */
export const PLACE = "fastlane.place";

let asked: Promise<Session> | null = null;

/** Whether a ticket opened this page, so that nobody may have to log in for it. */
const byTicket = document.documentElement.dataset.visit === "yes";

/** Asked once for each page. A browser that sends a password by itself does so here, too. */
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
  if (role === "trigger") return "Your role is trigger, which may run and stop jobs, and not change them.";
  return `Your role is ${role ?? "unknown"}, which may read and not change.`;
};

/** The buttons of a job that the role trigger may use. */
const TRIGGERS = new Set(["run", "stop", "stop-run"]);

/** Why this person may not use a button of a job; null if they may. */
export const barring = (who: Session, verb: string): string | null => (who.role === "trigger" && TRIGGERS.has(verb) ? null : readOnly(who));

/** Why this person may not change pools and hosts; null if they may. */
export const administers = ({ needsLogin, role }: Session): string | null =>
  needsLogin && role !== "admin" ? `Your role is ${role ?? "unknown"}; only administrators pause pools and drain hosts.` : null;

/** The name of who is logged in, which leads to where they log out, and from there back; null where nobody has to log in. Where the browser
 * sends a password by itself, only the browser can forget it. */
export async function account(): Promise<HTMLElement | null> {
  const who = await session().catch(() => null);
  if (!who?.user) return null;
  const title = `Logged in as ${who.user} (${who.role})`;
  const name = el("bdi", {}, who.user);
  if (!who.canLogOut) return el("span", { className: "account", title }, name);
  const link = el("a", { href: `${root}login`, className: "account", title: `${title}. Log out` }, name);
  link.addEventListener("click", () => {
    try {
      sessionStorage.setItem(PLACE, location.href);
    } catch {
      // Storage is not allowed: the way back leads to the overview.
    }
  });
  return link;
}
