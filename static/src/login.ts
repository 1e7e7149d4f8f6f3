// The page to log in and out. The server shows it at /login, and in place of any page that needs a login.

import "./login.css";
import { Refusal, root, send } from "./console/server";
import { PLACE, type Session } from "./console/session";
import { el, the } from "./dom";
import { loginForm, present } from "./loginform";
import { hear, tell } from "./tabs";
import { sentence } from "./words";

/** Whether this page is itself what was asked for; otherwise it stands in the place of another one. */
const atLogin = /\/login\/?$/.test(location.pathname);

/** Shows who is logged in, or the form. */
function show(session: Session): void {
  const { user, role, needsLogin, canLogOut } = session;
  the("words").textContent = user ? `You are logged in as ${user} (${role}).` : needsLogin ? "" : "This server needs no login.";
  the("logout").hidden = !canLogOut;
  the("back").hidden = needsLogin && !user;
  the<HTMLAnchorElement>("back").href = before();
  the("form").replaceChildren(...(user || !needsLogin ? [] : [loginForm(session.credentials, goOn)]));
  document.querySelector<HTMLInputElement>("#form input")?.focus();
}

/** Where the person came from, below this server's address. */
function before(): string {
  try {
    const from = sessionStorage.getItem(PLACE);
    return from?.startsWith(root) ? from : root;
  } catch {
    return root; // storage is not allowed
  }
}

/** Goes to what was asked for. */
const goOn = (): void => (atLogin ? location.assign(before()) : location.reload());

/** Shows the session, or why it is not known. */
async function ask(): Promise<void> {
  try {
    show(await present());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    the("words").textContent = sentence(error.message);
    the("form").replaceChildren(el("button", { type: "button", className: "main", onclick: () => void ask() }, "Try again"));
  }
}

the("logout").addEventListener("click", () => {
  void send("DELETE", `${root}session`)
    .then(() => tell(root, "out"), () => {})
    .then(ask);
});
hear(root, (change) => (change === "in" ? (atLogin ? void ask() : location.reload()) : void ask()));
void ask();
