// Which secrets the form could not carry over, because the API does not show them.

import { isolated } from "../../words";
import { notice } from "../parts";

/** A field with a secret, in the words of the form. */
function named(path: string): string {
  const [name, ...rest] = path.split(".");
  if (name === "envs") return `the variable ${rest.join(".")}`;
  if (name === "parameters") return `the default of the parameter ${rest[0]}`;
  if (name !== "webhooks") return name === "command" ? "a part of the command" : path;
  const [trigger, place, part, ...own] = rest;
  const of = `of webhook ${Number(place) + 1} for “${trigger}”`;
  return part === "headers" ? `the header ${own.join(".")} ${of}` : `${part ?? "a part"} ${of}`;
}

const listed = (paths: readonly string[]): string => paths.map((path) => isolated(named(path))).join(", ");

/** `hidden`: the fields whose value is not shown; `missing`: the hidden ones that would be sent. */
export function secretsNotice(hidden: readonly string[], missing: readonly string[]): HTMLElement[] {
  const kept = hidden.filter((path) => !missing.includes(path));
  const found: HTMLElement[] = [];
  if (missing.length) {
    found.push(notice("warn", `The API does not show secrets, so these values are missing: ${listed(missing)}. Give them again, or remove them.`));
  }
  if (kept.length) found.push(notice("info", `Secrets stay as they are while you change nothing beside them: ${listed(kept)}.`));
  return found;
}
