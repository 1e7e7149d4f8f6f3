// The form to log in: on a page of its own, and in a dialog above a page whose session has ended, which stays as it is.

import { get, Refusal, root, send } from "./console/server";
import type { Session } from "./console/session";
import { el } from "./dom";
import { hear, tell } from "./tabs";
import { sentence } from "./words";

type Kind = Session["credentials"][number];

const WRONG: Record<Kind, string> = { password: "The user or the password is wrong.", token: "The token is not valid here." };
const OTHER: Record<Kind, string> = { password: "Use a token instead", token: "Use a password instead" };
const NOT_KEPT = "The login is right, but this browser did not keep it: open the server by its public address, and allow its cookies.";

/** Where to log in. */
const LOGIN = `${root}session`;

/** The session as it is; who is not logged in is no error here. Throws a Refusal. */
export const present = (): Promise<Session> => get<Session>(LOGIN);

/** The form for what this server's people log in with. `onDone` is called with the session; all tabs of the browser hear of it, this one too. */
export function loginForm(credentials: readonly Kind[], onDone: (session: Session) => void): HTMLFormElement {
  const fault = el("p", { className: "fault", role: "alert" });
  const fields = el("div", { className: "fields" });
  const button = el("button", { type: "submit", className: "main" }, "Log in");
  const other = el("button", { type: "button", className: "other", hidden: credentials.length < 2 });
  const form = el("form", { className: "login" }, fields, fault, button, other);
  let kind: Kind = credentials[0] ?? "token";

  const field = (name: string, words: string, type: string, autocomplete: string): HTMLElement[] => [
    el("label", { htmlFor: `login-${name}` }, words),
    el("input", { id: `login-${name}`, name, type, autocomplete, autocapitalize: "off", spellcheck: false, required: true, oninput: () => tellFault("") }),
  ];
  const inputs = (): HTMLInputElement[] => [...fields.querySelectorAll("input")];
  function show(): void {
    const person = [...field("user", "User", "text", "username"), ...field("password", "Password", "password", "current-password")];
    fields.replaceChildren(...(kind === "password" ? person : field("token", "Token", "password", "current-password")));
    other.textContent = OTHER[kind];
    tellFault("");
  }
  function tellFault(words: string): void {
    fault.textContent = words;
    for (const one of inputs()) one.setAttribute("aria-invalid", String(words !== ""));
  }
  async function submit(): Promise<void> {
    const given = inputs().map(({ name, value }) => [name, name === "password" ? value : value.trim()] as const);
    button.disabled = true;
    try {
      await send("POST", LOGIN, Object.fromEntries(given));
      const session = await present();
      if (!session.user) return tellFault(NOT_KEPT);
      form.reset();
      tell(root, "in");
      onDone(session);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      tellFault(error.status === 401 ? WRONG[kind] : sentence(error.message));
      inputs().at(-1)?.select();
    } finally {
      button.disabled = false;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void submit();
  });
  other.addEventListener("click", () => {
    kind = kind === "password" ? "token" : "password";
    show();
    inputs()[0]?.focus();
  });
  show();
  return form;
}

/** Asks for a login above the page, which goes on as soon as it hears of one. Throws a Refusal. */
export async function askLogin(): Promise<void> {
  const session = await present();
  if (session.user || !session.needsLogin) return tell(root, "in"); // in another tab, meanwhile
  const dialog = el("dialog", { "aria-labelledby": "login-title" });
  const close = el("button", { type: "button" }, "Cancel");
  close.addEventListener("click", () => dialog.close());
  dialog.append(el("h2", { id: "login-title" }, "Log in"), loginForm(session.credentials, () => dialog.close()), close);
  const deaf = hear(root, (change) => change === "in" && dialog.close());
  dialog.addEventListener("close", () => {
    deaf();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}
