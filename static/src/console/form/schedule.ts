// When the job runs: now, after a time, at a time, again and again, only when somebody runs it, or after other jobs.

import { el } from "../../dom";
import { zone } from "../../words";
import { api, get } from "../server";
import { at, typed } from "./body";
import { choice, type Control, entry, fill, type Input, labelled, line, type Owner } from "./entries";
import { type Fields, type Json, Num } from "./json";

type Kind = "now" | "in" | "at" | "cron" | "manual" | "after";
const KINDS: readonly (readonly [Kind, string])[] = [
  ["now", "Now"],
  ["in", "After a time"],
  ["at", "At a time"],
  ["cron", "Again and again"],
  ["manual", "By hand"],
  ["after", "After other jobs"],
];
/** The fields of each kind; the first one makes a job be of that kind. */
const FIELDS: Record<Kind, readonly string[]> = {
  now: [],
  in: ["startIn"],
  at: ["startAt"],
  cron: ["cron", "timezone", "overlap", "catchUp", "spread", "skipDates"],
  manual: ["manual", "overlap"],
  after: ["after", "afterOn", "overlap"],
};
export const SCHEDULE_FIELDS = [...new Set(Object.values(FIELDS).flat())];

const OVERLAPS = [
  ["", "the next one runs beside it"],
  ["skip", "the next one is skipped"],
  ["queue", "the next one waits"],
  ["replace", "it is stopped for the next one"],
  ["allow", "the next one runs beside it (allow)"],
] as const;
const MISSED = [
  ["", "the latest runs late"],
  ["none", "none runs"],
  ["latest", "the latest runs late (latest)"],
] as const;

const ENDS = [
  ["", "it succeeds"],
  ["fails", "it fails"],
  ["finishes", "it ends"],
  ["succeeds", "it succeeds (succeeds)"],
] as const;

const kindOf = (body: Fields): Kind => (["in", "at", "cron", "after"] as const).find((kind) => body.has(FIELDS[kind][0]!)) ?? (body.get("manual") === true ? "manual" : "now");

export function scheduleControl(owner: Owner, preview: HTMLElement): Control {
  const kept = new Map<Kind, [string, Json][]>();
  const radios = new Map(KINDS.map(([kind]) => [kind, el("input", { type: "radio", name: "kind", value: kind })]));
  const overlap = choice(owner, ["overlap"], "While one still runs", OVERLAPS);
  const missed = choice(owner, ["catchUp"], "Of missed ticks", MISSED);
  const cron = [
    entry(owner, ["cron"], "Cron", { keep: true, placeholder: "0 3 * * *", hint: "Minute, hour, day, month, day of the week; or @daily, @every 45m and so on. H is a number chosen for the job." }),
    timezone(owner),
    overlap,
    missed,
    entry(owner, ["spread"], "Delayed by up to", { number: true, placeholder: "0m", hint: "30m: each time is delayed by as long, up to that, chosen for the job." }),
    skipDates(owner),
  ];
  const controls: Record<Kind, Control[]> = {
    now: [],
    in: [entry(owner, ["startIn"], "Starts in", { keep: true, placeholder: "2h30m", hint: "A duration, such as 10s, 5m or 2h30m." })],
    at: [moment(owner)],
    cron,
    manual: [overlap],
    after: [upstream(owner), choice(owner, ["afterOn"], "Each time that", ENDS), overlap],
  };
  const panels = new Map(KINDS.map(([kind]) => [kind, el("div", { className: "grid" }, ...controls[kind].map((one) => one.element))]));
  /** Some kinds share a control, which is where it is seen. */
  const reveal = (kind: Kind): void => {
    const isLast = kind === "manual" || kind === "after";
    const place = panels.get(isLast ? kind : "cron")!;
    if (overlap.element.parentElement !== place) place.insertBefore(overlap.element, isLast ? null : missed.element);
    radios.get(kind)!.checked = true;
    for (const [other, panel] of panels) panel.hidden = other !== kind;
  };
  const show = (): void => {
    for (const one of Object.values(controls).flat()) one.show();
    reveal(kindOf(owner.body));
  };
  /** Takes the fields of the kind before out of the body, and puts those back that this one had. */
  const choose = (kind: Kind, input: Input): void => {
    const before = kindOf(owner.body);
    kept.set(before, FIELDS[before].flatMap((name) => (owner.body.has(name) ? [[name, owner.body.get(name)!] as [string, Json]] : [])));
    for (const name of FIELDS[before]) owner.body.delete(name);
    for (const [name, value] of kept.get(kind) ?? FIELDS[kind].slice(0, 1).map((first) => [first, first === "manual" || ""] as [string, Json])) owner.body.set(name, value);
    show();
    owner.edit([], undefined, input);
  };
  for (const [kind, radio] of radios) radio.addEventListener("change", () => choose(kind, radio));
  return {
    fields: SCHEDULE_FIELDS,
    element: el(
      "fieldset",
      {},
      el("legend", {}, "When"),
      el("div", { className: "kinds" }, ...KINDS.map(([kind, words]) => el("label", {}, radios.get(kind)!, words))),
      ...panels.values(),
      preview,
    ),
    show,
    inputOf: (field) => controls[kindOf(owner.body)].map((one) => one.inputOf(field)).find(Boolean) ?? null,
  };
}

/** The jobs that it follows: one, or several with commas between them. */
function upstream(owner: Owner): Control {
  const input = line("extract");
  input.addEventListener("input", () => {
    const names = input.value.split(",").map((name) => name.trim()).filter(Boolean);
    owner.edit(["after"], names.length > 1 ? names : (names[0] ?? ""), input);
  });
  return {
    fields: ["after"],
    element: labelled(input, "After", "The name or id of a job of the same task, or task/job. It waits for all of several, with commas between them."),
    show: () => {
      const given = at(owner.body, ["after"]);
      const names = Array.isArray(given) && given.every((one) => typeof one === "string") ? given.join(", ") : typed(given);
      if (document.activeElement !== input) fill(input, names);
    },
    inputOf: (field) => (field === "after" ? input : null),
  };
}

/** The zone of a cron, chosen from all that the browser knows. */
function timezone(owner: Owner): Control {
  const control = entry(owner, ["timezone"], "Time zone", { placeholder: "the server's", hint: `Whose clocks the cron means. Yours is ${own()}.` });
  const input = control.inputOf("timezone")!;
  const options = el("datalist", { id: "timezones" });
  input.setAttribute("list", options.id);
  input.addEventListener("focus", () => options.children.length || options.append(...Intl.supportedValuesOf("timeZone").map((name) => el("option", { value: name }))));
  control.element.append(options);
  return control;
}

/** Dates and ranges of dates, separated by commas. */
function skipDates(owner: Owner): Control {
  const input = el("input", { type: "text", placeholder: "2026-12-24..2026-12-26, holidays" });
  const hint = "Dates, ranges and names of calendars, separated by commas, by the clocks of the time zone.";
  const element = labelled(input, "Not on", hint);
  const known = el("datalist", { id: "calendars" });
  input.setAttribute("list", known.id);
  element.append(known);
  let asked = false;
  /** Offers the calendars behind what is there already. */
  const suggest = (names: string[]): void => {
    const before = input.value.includes(",") ? `${input.value.slice(0, input.value.lastIndexOf(",") + 1)} ` : "";
    known.replaceChildren(...names.map((name) => el("option", { value: before + name })));
  };
  let names: string[] = [];
  input.addEventListener("focus", () => {
    if (asked) return;
    asked = true;
    get<{ items: { name: string }[] }>(api.calendars)
      .then((found) => suggest((names = found.items.map((one) => one.name))), () => undefined);
  });
  input.addEventListener("input", () => {
    const dates = input.value.split(",").map((date) => date.trim()).filter(Boolean);
    owner.edit(["skipDates"], dates.length ? dates : undefined, input);
    suggest(names);
  });
  const shown = (value: Json | undefined): string | null =>
    value === undefined ? "" : Array.isArray(value) && value.every((date) => typeof date === "string") ? value.join(", ") : null;
  return {
    fields: ["skipDates"],
    element,
    show: () => fill(input, shown(at(owner.body, ["skipDates"]))),
    inputOf: (field) => (field === "skipDates" || field.startsWith("skipDates.") ? input : null),
  };
}

const own = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A moment, by the reader's clock. */
function moment(owner: Owner): Control {
  const input = el("input", { type: "datetime-local", step: "1" });
  input.addEventListener("input", () => {
    const at = input.value ? new Date(input.value) : null;
    owner.edit(["startAt"], at ? at.toISOString().replace(".000Z", "Z") : "", input);
  });
  return {
    fields: ["startAt"],
    element: labelled(input, "Starts at", `In your time zone (${zone()}).`),
    show: () => fill(input, local(at(owner.body, ["startAt"]))),
    inputOf: (field) => (field === "startAt" ? input : null),
  };
}

/** A moment as the field has it; null for what is none. */
function local(value: Json | undefined): string | null {
  if (value === undefined || value === "") return "";
  const seconds = value instanceof Num ? Number(value.source) : NaN;
  const date = new Date(Number.isNaN(seconds) ? Date.parse(String(value)) : seconds * 1_000);
  if (Number.isNaN(date.getTime())) return null;
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return `${day}T${time}${date.getSeconds() ? `:${two(date.getSeconds())}` : ""}`;
}
