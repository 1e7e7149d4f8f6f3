// The command: a text that is split into words, or a list of arguments; and how it is understood.

import { el, say } from "../../dom";
import { at } from "./body";
import { area, type Control, fill, grow, type Input, labelled, type Owner } from "./entries";
import type { Json } from "./json";
import { join, split } from "./shell";

const UNCLOSED = "A quote is not closed, or the text ends in a backslash.";

/** The list that a value is; null if it is none of texts. */
function listed(value: Json | undefined): string[] | null {
  return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : null;
}

/** The arguments that the server makes of a value; null when it makes none. */
export const argumentsOf = (value: Json | undefined): string[] | null => (typeof value === "string" ? split(value) : listed(value));

export function commandControl(owner: Owner): Control {
  const text = area();
  const list = el("div", { className: "rows" });
  const add = el("button", { type: "button" }, "Add an argument");
  const manner = el("button", { type: "button" });
  const words = el("div", { className: "words" });
  const textPart = labelled(text, "Command", "Words, split as a shell splits them; no shell runs them.");
  const listPart = el("div", { role: "group", "aria-label": "Command" }, el("p", { className: "label" }, "Command"), list);
  let inputs: HTMLTextAreaElement[] = [];

  const value = (): Json | undefined => at(owner.body, ["command"]);
  const put = (given: Json | undefined, input: Input): void => {
    owner.edit(["command"], given, input);
    explain();
  };
  const explain = (): void => words.replaceChildren(...understood(value()));
  const collect = (input: Input): void => put(inputs.map((one) => one.value), input);

  const argument = (given: string): HTMLElement => {
    const input = area();
    fill(input, given);
    const remove = el("button", { type: "button", className: "quiet", "aria-label": "Remove" }, "×");
    const row = el("div", { className: "pair one", role: "group" }, labelled(input, "Argument"), remove);
    input.addEventListener("input", () => {
      grow(input);
      collect(input);
    });
    remove.addEventListener("click", () => {
      inputs = inputs.filter((other) => other !== input);
      row.remove();
      number();
      add.focus();
      say("Removed");
      collect(input);
    });
    inputs.push(input);
    return row;
  };
  const number = (): void => [...list.children].forEach((row, index) => row.setAttribute("aria-label", `argument ${index + 1}`));

  const show = (): void => {
    const given = value();
    const parts = listed(given);
    inputs = [];
    list.replaceChildren(...(parts ?? []).map(argument));
    number();
    textPart.hidden = parts !== null;
    listPart.hidden = add.hidden = parts === null;
    fill(text, given === undefined ? "" : typeof given === "string" ? given : null);
    manner.textContent = parts ? "As a text" : "As a list";
    manner.disabled = !parts && text.disabled;
    explain();
  };

  text.addEventListener("input", () => {
    grow(text);
    put(text.value || undefined, text);
  });
  add.addEventListener("click", () => {
    list.append(argument(""));
    number();
    inputs.at(-1)!.focus();
    collect(inputs.at(-1)!);
  });
  manner.addEventListener("click", () => {
    const given = value();
    const parts = argumentsOf(given ?? "");
    if (parts === null) return say(UNCLOSED);
    const asList = listed(given) === null;
    put(asList ? parts : join(parts) || undefined, text);
    show();
  });
  return {
    fields: ["command"],
    element: el("div", { className: "command-entry" }, textPart, listPart, words, el("div", { className: "buttons" }, add, manner)),
    show,
    inputOf(field) {
      const parts = listed(value());
      if (field === "command") return parts ? (inputs[0] ?? null) : text;
      return parts && field.startsWith("command.") ? (inputs[Number(field.slice(8))] ?? null) : null;
    },
  };
}

/** How the server understands it: each argument by itself. */
function understood(value: Json | undefined): HTMLElement[] {
  if (value === undefined || value === "") return [el("p", { className: "hint" }, "The image's own command runs.")];
  if (typeof value !== "string") return [];
  const words = split(value);
  if (!words) return [el("p", { className: "hint" }, UNCLOSED)];
  return [
    el("p", { className: "hint" }, words.length === 1 ? "It is one word:" : `It is ${words.length} words:`),
    el("ol", { className: "arguments", "aria-label": "The words of the command" }, ...words.map((word) => el("li", {}, el("code", {}, word || "\u00a0")))),
  ];
}
