// The filters of a list. They are in the page's address, under the names that the API has for them, so that a link keeps them.

import { el } from "../dom";

/** Milliseconds without a key after which what was typed counts. */
const TYPING = 150;

/** The query of the page's address. */
export const asked = (): Record<string, string> => Object.fromEntries(new URLSearchParams(location.search));

/** A field to type into. What it finds is shown while one types. `isSmall`: one of several beside the search itself. */
export function search(name: string, label: string, changed: () => void, isSmall = false): HTMLElement {
  const field = el("input", {
    type: "search",
    name,
    value: asked()[name] ?? "",
    placeholder: label,
    "aria-label": label,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: false,
    className: isSmall ? "small" : "",
    "data-search": isSmall ? undefined : "",
  });
  let timer = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => put(name, field.value.trim(), changed), TYPING);
  });
  return field;
}

/** A choice between values, each with its words; the empty value is for no filter. */
export function choice(name: string, label: string, values: readonly (readonly [string, string])[], changed: () => void): HTMLElement {
  const now = asked()[name] ?? "";
  const known = values.some(([value]) => value === now) ? values : [...values, [now, now] as const];
  const options = known.map(([value, words]) => el("option", { value, selected: value === now }, words));
  const field = el("select", { name }, ...options);
  field.addEventListener("change", () => put(name, field.value, changed));
  return el("label", {}, el("span", {}, label), field);
}

/** Puts a filter into the address, at the first page. */
function put(name: string, value: string, changed: () => void): void {
  const query = new URLSearchParams(location.search);
  for (const other of ["page", "after"]) query.delete(other);
  if (value) query.set(name, value);
  else query.delete(name);
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
  changed();
}
