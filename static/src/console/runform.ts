// Runs a job now. Of a job that declares parameters, a form asks for their values first, and stays until the server takes them.

import { el, the } from "../dom";
import { sentence } from "../words";
import { api, Refusal, send } from "./server";
import type { Job } from "./shapes";

interface Parameter {
  description?: string;
  default?: string;
  required?: boolean;
  choices?: string[];
  pattern?: string;
  secret?: boolean;
}
type Input = HTMLInputElement | HTMLSelectElement;

/** Runs the job. False: the form was closed, and nothing runs. Throws a Refusal that is not about the form's fields. */
export async function run(job: Job): Promise<boolean> {
  const url = api.job(job.taskId, job.id, "run");
  const parameters = Object.entries(job.spec.parameters as Record<string, Parameter>);
  if (parameters.length) {
    const fields = parameters.map(([name, parameter]) => field(name, name, parameter));
    return asked("Values for this run", "Run now", fields, (given) => send("POST", url, { parameters: given }), "parameters.");
  }
  await send("POST", url);
  return true;
}

/** Asks for values in a form, which stays until `start` has taken them. `start` may return false to stay, and change the button's words. False:
 * the form was closed. `prefix`: of the names of the fields in the server's refusals. Throws a Refusal that is not about the fields. */
export function asked(
  words: string,
  button: string,
  fields: readonly Field[],
  start: (given: Record<string, string>, go: HTMLButtonElement) => Promise<unknown>,
  prefix = "",
): Promise<boolean> {
  const dialog = the<HTMLDialogElement>("question");
  const rest = el("p", { className: "bad", role: "alert", hidden: true });
  const cancel = el("button", { type: "button", onclick: () => dialog.close("") }, "Cancel");
  const go = el("button", { type: "submit" }, button);
  const form = el(
    "form",
    { className: "run", noValidate: true },
    el("p", { id: "question-words" }, words),
    ...fields.map((one) => one.element),
    rest,
    el("div", { className: "answers" }, cancel, go),
  );
  dialog.returnValue = "";
  dialog.replaceChildren(form);
  dialog.showModal();
  return new Promise((answer, fail) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "ran"), { once: true });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      const given = Object.fromEntries(fields.filter((one) => one.input.value !== "").map((one) => [one.name, one.input.value]));
      void start(given, go).then(
        (done) => {
          if (done !== false) return dialog.close("ran");
          go.disabled = false;
          show([], fields, rest, prefix);
          go.focus(); // a button that is off loses the focus
        },
        (error: unknown) => {
          go.disabled = false;
          if (error instanceof Refusal && error.faults.length) return show(error.faults, fields, rest, prefix);
          fail(error as Error);
          dialog.close("");
        },
      );
    });
  });
}

export interface Field {
  name: string;
  element: HTMLElement;
  input: Input;
  fault: HTMLElement;
}

/** A field of the form, by the name under which its value is sent. */
export function field(name: string, words: string, parameter: Parameter): Field {
  const { choices, secret, default: usual, required, description, pattern } = parameter;
  const unset = usual === undefined ? (required ? "" : "not set") : `${usual} (default)`;
  const id = `run-${name}`;
  const input: Input = choices
    ? el("select", {}, el("option", { value: "" }, unset), ...choices.map((one) => el("option", { value: one }, one)))
    : el("input", { type: secret ? "password" : "text", placeholder: unset, autocomplete: "off", spellcheck: false });
  const fault = el("p", { className: "fault", id: `${id}-fault`, hidden: true });
  input.id = id;
  input.setAttribute("aria-describedby", `${id}-hint ${fault.id}`);
  if (required && usual === undefined) input.setAttribute("aria-required", "true");
  const hint = [description, pattern && `Matches ${pattern}`].filter(Boolean).join(". ");
  const label = el("label", { htmlFor: id }, words);
  return { name, input, fault, element: el("div", { className: "field" }, label, input, hint && el("p", { className: "muted", id: `${id}-hint` }, hint), fault) };
}

/** Shows what is wrong at its field, and the rest below them all. */
function show(faults: readonly { field: string; message: string }[], fields: readonly Field[], rest: HTMLElement, prefix: string): void {
  const words = new Map(faults.map((one) => [one.field, one.message]));
  for (const { name, input, fault } of fields) {
    const message = words.get(`${prefix}${name}`);
    words.delete(`${prefix}${name}`);
    fault.hidden = message === undefined;
    fault.textContent = message ? sentence(message) : "";
    input.setAttribute("aria-invalid", String(message !== undefined));
  }
  rest.hidden = !words.size;
  rest.textContent = [...words].map(([name, message]) => `${name}: ${message}`).join("; ");
  fields.find((one) => !one.fault.hidden)?.input.focus();
}
