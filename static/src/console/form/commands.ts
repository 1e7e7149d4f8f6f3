// The commands that make the same job: curl, and fastlane's own.

import { DURATIONS, FLAGS, LISTS, OFFS, OPTIONS, PAIRS } from "../../contract";
import { argumentsOf } from "./arguments";
import { typed } from "./body";
import { compact, type Fields, type Json, Num } from "./json";
import { quote } from "./shell";

/** The request as a command. `login`: how one says who one is, if one has to. */
export function curl(method: string, url: string, body: Fields, login: string): string {
  return `curl -X${method} ${login}-d ${quote(compact(body))} ${quote(url)}`;
}

const STARTS = ["startIn", "startAt", "cron", "manual", "after"];

/** fastlane's command; or the fields for which it has no option. */
export function fastlane(task: string, body: Fields): { command: string } | { without: string[] } {
  const without: string[] = [];
  const options = [`--task=${task}`];
  const left = new Map([...body].filter(([name]) => name !== "image" && name !== "command"));
  for (const [path, value] of flat(left)) {
    const given = optionsOf(path, value);
    if (given) options.push(...given);
    else without.push(path);
  }
  const image = body.get("image");
  const command = body.has("command") ? argumentsOf(body.get("command")) : [];
  const isService = body.has("service") && !body.has("image");
  if (!isService && (typeof image !== "string" || image.startsWith("-"))) without.push("image");
  if (!command) without.push("command");
  if (without.length) return { without };
  const verb = STARTS.some((name) => body.has(name)) ? "schedule" : "run";
  const words = [...options.map(short), ...(isService ? [] : [quote(image as string)]), ...(command!.length ? ["--", ...command!.map(quote)] : [])];
  return { command: `fastlane ${verb} ${words.join(" ")}` };
}

/** An option, whose value alone is quoted. */
const short = (option: string): string => {
  const at = option.indexOf("=");
  return `${option.slice(0, at + 1)}${option.length > at + 1 ? quote(option.slice(at + 1)) : "''"}`;
};

/** The fields, and the parts of each field that is a group of options. */
function flat(body: Fields): [string, Json][] {
  return [...body].flatMap(([name, value]): [string, Json][] => {
    const isGroup = (name === "resources" || name === "container") && value instanceof Map;
    return isGroup ? [...value].map(([inner, one]): [string, Json] => [`${name}.${inner}`, one]) : [[name, value]];
  });
}

/** The options that say the same as a field; null when there are none. */
function optionsOf(path: string, value: Json): string[] | null {
  if (value === null) return [];
  const name = Object.hasOwn(OPTIONS, path) && OPTIONS[path];
  if (!name) return null;
  if (FLAGS.includes(path) && value === true) return [name];
  if (OFFS.includes(path)) return value === false ? [name] : value === true ? [] : null;
  if (PAIRS.includes(path)) return pairs(name, value);
  if (LISTS.includes(path)) {
    const all = path === "after" && typeof value === "string" ? [value] : value;
    return Array.isArray(all) && all.every((one) => typeof one === "string") ? all.map((one) => `${name}=${one}`) : null;
  }
  const text = typed(value);
  if (text === null || typeof value === "boolean" || !isPlain(value)) return null;
  return [`${name}=${DURATIONS.includes(path) && value instanceof Num ? `${text}s` : text}`];
}

const DECIMAL = /^-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?$/;

/** Whether a value is the same as its text: a number with an exponent, for one, is not. */
const isPlain = (value: Json): boolean => !(value instanceof Num) || (DECIMAL.test(value.source) && value.source.length < 16);

function pairs(option: string, value: Json): string[] | null {
  if (!(value instanceof Map)) return null;
  const found: string[] = [];
  for (const [name, one] of value) {
    const text = typed(one);
    if (!name || name.includes("=") || text === null || !isPlain(one)) return null;
    found.push(`${option}=${name}=${text}`);
  }
  return found;
}
