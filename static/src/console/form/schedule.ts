// When the job runs: now, after a time, at a time, again and again, or only when somebody runs it.

import { el } from "../../dom";
import { zone } from "../../words";
import { at } from "./body";
import { choice, type Control, entry, fill, type Input, labelled, type Owner } from "./entries";
import { type Fields, type Json, Num } from "./json";

type Kind = "now" | "in" | "at" | "cron" | "manual";
const KINDS: readonly (readonly [Kind, string])[] = [
  ["now", "Now"],
  ["in", "After a time"],
  ["at", "At a time"],
  ["cron", "Again and again"],
  ["manual", "By hand"],
];
/** The fields of each kind; the first one makes a job be of that kind. */
const FIELDS: Record<Kind, readonly string[]> = {
  now: [],
  in: ["startIn"],
  at: ["startAt"],
  cron: ["cron", "timezone", "overlap", "catchUp"],
  manual: ["manual", "overlap"],
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

const kindOf = (body: Fields): Kind => (["in", "at", "cron"] as const).find((kind) => body.has(FIELDS[kind][0]!)) ?? (body.get("manual") === true ? "manual" : "now");

export function scheduleControl(owner: Owner, preview: HTMLElement): Control {
  const kept = new Map<Kind, [string, Json][]>();
  const radios = new Map(KINDS.map(([kind]) => [kind, el("input", { type: "radio", name: "kind", value: kind })]));
  const overlap = choice(owner, ["overlap"], "While one still runs", OVERLAPS);
  const missed = choice(owner, ["catchUp"], "Of missed ticks", MISSED);
  const cron = [
    entry(owner, ["cron"], "Cron", { keep: true, placeholder: "0 3 * * *", hint: "Minute, hour, day, month, day of the week; or @hourly, @daily, @weekly and so on." }),
    timezone(owner),
    overlap,
    missed,
  ];
  const controls: Record<Kind, Control[]> = {
    now: [],
    in: [entry(owner, ["startIn"], "Starts in", { keep: true, placeholder: "2h30m", hint: "A duration, such as 10s, 5m or 2h30m." })],
    at: [moment(owner)],
    cron,
    manual: [overlap],
  };
  const panels = new Map(KINDS.map(([kind]) => [kind, el("div", { className: "grid" }, ...controls[kind].map((one) => one.element))]));
  /** Two kinds share a control, which is where it is seen. */
  const reveal = (kind: Kind): void => {
    const place = panels.get(kind === "manual" ? "manual" : "cron")!;
    if (overlap.element.parentElement !== place) place.insertBefore(overlap.element, kind === "manual" ? null : missed.element);
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
