// Copies text, and says so on the button that was pressed.

import { el, say } from "./dom";
import { keep } from "./log/selection";

/** Copies to the clipboard; by the old API where a page without TLS may not use the new one. */
export async function put(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { value: text, className: "unseen", "aria-hidden": "true" });
    const active = document.activeElement;
    let done = false;
    keep(() => {
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    });
    if (active instanceof HTMLElement) active.focus({ preventScroll: true });
    return done;
  }
}

/** Copies a text; the button shows for a moment whether it worked, and screen readers say that `what` was copied. */
export async function copyBy(button: HTMLElement, text: string, what: string): Promise<void> {
  const done = await put(text);
  button.textContent = done ? "Copied" : "Not allowed";
  say(done ? `${what} copied` : "The browser does not allow copying");
  setTimeout(() => (button.textContent = "Copy"), 2_000);
}
