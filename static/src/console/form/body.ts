// The job that is made: the body of the request, field by field, and what the server says about it.

import { type Fields, type Json, Num } from "./json";
import { split } from "./shell";

/** What is wrong with a field: its dotted path (empty for the whole) and what to do about it. */
export interface Fault {
  field: string;
  message: string;
}

/** A fault as the API's details have it. */
export const faultWords = ({ field, message }: Fault): string => (field ? `${field}: ${message}` : message);

/** The value at a path; undefined where there is none. What is in the way of the path, such as a number, stands for it. */
export function at(body: Fields, path: readonly string[]): Json | undefined {
  let value: Json = body;
  for (const name of path) {
    if (!(value instanceof Map)) return [value];
    const next: Json | undefined = value.get(name);
    if (next === undefined || next === null) return undefined;
    value = next;
  }
  return value;
}

/** Puts a value at a path; undefined removes it, and what it leaves empty. */
export function put(body: Fields, [name, ...rest]: readonly string[], value: Json | undefined): void {
  if (!rest.length) {
    if (value === undefined) body.delete(name!);
    else body.set(name!, value);
    return;
  }
  const known = body.get(name!);
  const inner: Fields = known instanceof Map ? known : new Map();
  put(inner, rest, value);
  if (inner.size) body.set(name!, inner);
  else body.delete(name!);
}

/** A scalar as people type it; null for what cannot be typed so. */
export function typed(value: Json | undefined): string | null {
  if (value === undefined || value === null) return "";
  if (value instanceof Num) return value.source;
  return typeof value === "string" || typeof value === "boolean" ? String(value) : null;
}

// secrets, which the API does not show

const MASK = "********";
const MASKED = /:\*{8}@|[?&][^\s=&#?]{1,128}=\*{8}(?![^\s&#"'<>])/;
export const NOT_CARRIED = `has ${MASK}, which is shown instead of a secret and could not be carried over; give the secret itself, or remove it`;

const isMasked = (text: string): boolean => text === MASK || MASKED.test(text);

/** The fields that have a mask in place of a secret. The API refuses these, and would lose none of them silently. */
export function masked(body: Fields): string[] {
  const command = body.get("command");
  const words = typeof command === "string" ? (split(command) ?? [command]) : Array.isArray(command) ? command : [];
  const found = words.some((word) => typeof word === "string" && isMasked(word)) ? ["command"] : [];
  for (const name of ["envs", "parameters", "webhooks"]) {
    const value = body.get(name);
    if (value !== undefined) found.push(...maskedIn(value, name));
  }
  return found;
}

function maskedIn(value: Json, path: string): string[] {
  if (typeof value === "string") return isMasked(value) || (path.includes(".body") && value.includes(MASK)) ? [path] : [];
  const parts = value instanceof Map ? [...value] : Array.isArray(value) ? [...value.entries()] : [];
  return parts.flatMap(([name, one]) => maskedIn(one, `${path}.${name}`));
}

// another like this

const MIB = 1 << 20;
const MEMORY = ["resources", "memory"];

/** A definition as people would have written it: without the fields that say that there is nothing. */
export function tidy(definition: Fields): Fields {
  const metadata = definition.get("metadata");
  const body = pruned(definition);
  const memory = at(body, MEMORY);
  if (memory instanceof Num && Number(memory.source) % MIB === 0) put(body, MEMORY, `${Number(memory.source) / MIB}m`);
  if (metadata !== undefined && metadata !== null) body.set("metadata", metadata);
  return body;
}

function pruned(fields: Fields): Fields {
  const kept: Fields = new Map();
  for (const [name, value] of fields) {
    const one = value instanceof Map ? pruned(value) : value;
    const empty = one === null || (one instanceof Map && !one.size) || (Array.isArray(one) && !one.length);
    if (!empty) kept.set(name, one);
  }
  return kept;
}
