// What is wrong with the job apart from its fields, and with fields that the form does not show.

import { el } from "../../dom";
import { isolated, sentence } from "../../words";
import { link } from "../parts";
import { pages, type Refusal } from "../server";
import { type Fault, faultWords } from "./body";
import { KEY_REUSED } from "./sender";
import type { Target } from "./target";

/** The status of a request about a version that is not the newest any more. */
const CHANGED = 412;

/** `faults` are of fields that are not shown, which `showJson` shows; `mayBeIn`: the task that may have the job already. */
export function troubles(
  target: Target,
  faults: readonly Fault[],
  refusal: Refusal | null,
  mayBeIn: string | null,
  showJson: () => void,
): HTMLElement | null {
  if (!faults.length && !refusal) return null;
  const box = el("div", { className: "notice bad", role: "group", "aria-label": "What is wrong", tabIndex: -1 });
  const words = el("div", {});
  box.append(words);
  if (refusal) words.append(...refused(target, refusal, mayBeIn));
  if (faults.length) {
    const show = el("button", { type: "button" }, "Show the JSON");
    show.addEventListener("click", showJson);
    words.append(el("ul", {}, ...faults.map((fault) => el("li", {}, isolated(faultWords(fault))))));
    box.append(show);
  }
  return box;
}

function refused(target: Target, refusal: Refusal, mayBeIn: string | null): HTMLElement[] {
  const { status } = refusal;
  if (status === CHANGED) return [el("p", {}, "Somebody has changed this job since you opened it here. ", el("a", { href: location.href, target: "_blank" }, "Open it again"), " in another tab, and make your change to what it is now.")];
  if (status === 401) return [el("p", {}, "Your session has ended. "), el("button", { type: "button", "data-act": "login" }, "Log in")];
  const own = status === null ? "The server does not answer." : sentence(refusal.message);
  if (mayBeIn === null && status !== KEY_REUSED) return [el("p", {}, own)];
  const task = mayBeIn === null ? null : link(pages.task(mayBeIn), `The jobs of ${isolated(mayBeIn)}`);
  return status === KEY_REUSED ? [el("p", {}, target.mayBeAnother, " ", task ?? "")] : [el("p", {}, own, " ", target.mayBe, " ", task ?? "")];
}
