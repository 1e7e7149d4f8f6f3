// Who is logged in, with the way to log out.

import { el } from "../dom";
import { get, root } from "./server";

interface Session {
  user: string | null;
  role: string | null;
}

/** The link to the page where people log out; null for those who did not log in with a token. */
export async function account(): Promise<HTMLElement | null> {
  const session = await get<Session>(`${root}session`).catch(() => null);
  if (!session?.user) return null;
  return el("a", { href: `${root}login`, className: "account", title: `Logged in as ${session.user} (${session.role})` }, el("bdi", {}, session.user));
}
