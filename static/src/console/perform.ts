// Does what a button changes, and shows what the server refused.

import { el, say, the } from "../dom";
import { sentence } from "../words";
import { notice } from "./parts";
import { Refusal } from "./server";

/** Does what changes something, once at a time. When the server refuses it, shows why and returns that; but for a login that is missing, which
 * the page as a whole has to show. */
export async function perform(change: (button: HTMLElement) => Promise<void>, button: HTMLElement): Promise<Refusal | null> {
  const group = button.closest("[role=group]")?.querySelectorAll("button") ?? [button as HTMLButtonElement];
  const buttons = [...group].filter((one) => !one.disabled); // the others stay as they are
  for (const one of buttons) one.disabled = true;
  dismiss();
  let refusal: Refusal | null = null;
  try {
    await change(button);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    refusal = error;
  }
  for (const one of buttons) one.disabled = false;
  if (button.isConnected) button.focus({ preventScroll: true });
  if (refusal && refusal.status !== 401) show(refusal);
  return refusal;
}

/** Shows why something was not done, until someone has seen it. */
function show(refusal: Refusal): void {
  const words = sentence(refusal.message);
  const box = notice("bad", words);
  box.append(el("button", { type: "button", "data-act": "dismiss" }, "Dismiss"));
  the("refused").replaceChildren(box);
  say(words);
}

/** Removes it. */
export const dismiss = (): void => the("refused").replaceChildren();
