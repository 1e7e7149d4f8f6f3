// Logs in with a token, and out. The server shows this page at /login, and in place of any page that needs a login.

import "./login.css";
import { the } from "./dom";
import { hear, tell } from "./tabs";

interface Session {
  needsLogin: boolean;
  user: string | null;
  role: string | null;
  canLogOut: boolean;
}

const root = new URL(the<HTMLAnchorElement>("root").href);
const form = the<HTMLFormElement>("form");
const token = the<HTMLInputElement>("token");
const button = form.querySelector("button")!;

/** Sends a request about the session; its answer, or the words of the refusal. */
async function ask(method: string, body?: object): Promise<Session | string> {
  try {
    const signal = AbortSignal.timeout(15_000);
    const answer = await fetch(new URL("session", root), { method, body: body && JSON.stringify(body), signal });
    const found = (await answer.json()) as Session & { detail?: string };
    if (answer.ok) return found;
    return answer.status === 401 ? "The token is not valid here." : (found.detail ?? `The server refused this (${answer.status}).`);
  } catch {
    return "The server does not answer. Try again in a moment.";
  }
}

function show(session: Session | string): void {
  const refused = typeof session === "string";
  const user = refused ? null : session.user;
  const words = the("words");
  words.classList.toggle("bad", refused);
  if (refused) words.textContent = session;
  else if (user) words.textContent = `You are logged in as ${user} (${session.role}).`;
  else words.textContent = session.needsLogin ? "" : "This server needs no login.";
  if (!refused) {
    form.hidden = Boolean(user) || !session.needsLogin;
    the("logout").hidden = !session.canLogOut;
  }
}

/** Whether this page is itself what was asked for; otherwise it stands in the place of another one. */
const atLogin = /\/login\/?$/.test(location.pathname);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  button.disabled = true;
  void ask("POST", { token: token.value.trim() }).then((session) => {
    button.disabled = false;
    show(session);
    if (typeof session === "string") return token.select();
    token.value = "";
    tell(root.href, "in");
    if (!atLogin) location.reload();
  });
});

the("logout").addEventListener("click", () => {
  void ask("DELETE").then((session) => {
    show(session);
    if (typeof session === "string") return;
    tell(root.href, "out");
    token.focus();
  });
});

hear(root.href, (change) => {
  if (change === "in" && !atLogin) location.reload();
  else void ask("GET").then(show);
});

void ask("GET").then((session) => {
  show(session);
  if (typeof session === "string") form.hidden = false;
  token.focus();
});
