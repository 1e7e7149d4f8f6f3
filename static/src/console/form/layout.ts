// The fields of the form in their order.

import { el } from "../../dom";
import { section } from "../parts";
import { commandControl } from "./arguments";
import { type Control, entry, type Owner } from "./entries";
import type { Fields } from "./json";
import { mailControls, webhooksControl } from "./notify";
import { rows } from "./rows";
import { scheduleControl } from "./schedule";

export interface Layout {
  element: HTMLElement;
  controls: readonly Control[];
  /** Shows what the body has. */
  show(): void;
  /** Opens what is folded and has this control. */
  reveal(control: Control): void;
  /** The fields of the body that the form does not show. */
  beyond(): string[];
}

/** The fields of a body that no control shows. */
function unshown(body: Fields, controls: readonly Control[]): string[] {
  const fields = controls.flatMap((one) => one.fields);
  const shown = new Set([...fields, ...fields.map(top)]);
  const resources = body.get("resources");
  const parts = resources instanceof Map ? [...resources.keys()].map((name) => `resources.${name}`) : [];
  return [...[...body.keys()].filter((name) => !shown.has(name)), ...parts.filter((name) => !shown.has(name))];
}

const top = (field: string): string => field.replace(/\..*/, "");

/** `when`: the place for what the schedule means. */
export function layout(owner: Owner, when: HTMLElement): Layout {
  const image = entry(owner, ["image"], "Image", { placeholder: "ubuntu:latest", hint: "With its registry, path and tag, as docker run takes it." });
  const command = commandControl(owner);
  const envs = rows(owner, "envs", "Environment", "variable", /^(?!FASTLANE_)[A-Za-z_]\w*$/);
  const schedule = scheduleControl(owner, when);
  const number = true;
  const limits = [
    entry(owner, ["timeout"], "Timeout", { number, placeholder: "30m", hint: "How long it may run. Empty: the pool's limit." }),
    entry(owner, ["retries"], "Retries", { number, placeholder: "0", hint: "How many attempts may follow a failed one." }),
    entry(owner, ["resources", "memory"], "Memory", { number, placeholder: "512m", hint: "What takes more is killed." }),
    entry(owner, ["resources", "cpus"], "Processors", { number, placeholder: "1.5", hint: "The most that it gets: 0.5 is half of one." }),
    entry(owner, ["resources", "pids"], "Processes", { number, placeholder: "200", hint: "The most processes and threads." }),
  ];
  const labels = rows(owner, "labels", "Labels", "label", /^[A-Za-z0-9](?:[\w./-]{0,61}[A-Za-z0-9])?$/);
  const more = [
    entry(owner, ["name"], "Name", { placeholder: "Nightly backup", hint: "For people, and for fastlane's commands." }),
    entry(owner, ["service"], "Run as a service", { placeholder: "shop_web", hint: "Instead of an image: it runs as the container of this service of the swarm." }),
    entry(owner, ["retryDelay"], "Time before a retry", { number, placeholder: "30s", hint: "Empty: exponential back-off." }),
    entry(owner, ["expiresIn"], "Starts within", { number, placeholder: "1h", hint: "How long after it was due it may still start." }),
    entry(owner, ["priority"], "Priority", { number, placeholder: "0", hint: "From -100 to 100: a point counts as a minute of waiting." }),
    entry(owner, ["pauseAfter"], "Pause after", { number, placeholder: "5", hint: "How many failed ticks in a row pause its schedule." }),
    entry(owner, ["notifyAfter"], "Notify after", { number, placeholder: "3", hint: "How many ticks in a row fail before anyone hears of it." }),
    entry(owner, ["concurrency"], "Concurrency", { number, placeholder: "1", hint: "It waits while this many executions of its task run." }),
    entry(owner, ["concurrencyKey"], "Shared limit", { placeholder: "db", hint: "Concurrency then counts the pool's executions with this key." }),
    entry(owner, ["everywhere"], "Everywhere", { placeholder: "nodes", hint: "swarms or nodes: each tick runs on all of them that the pool has." }),
  ];
  const folded = el(
    "details",
    {},
    el("summary", {}, "Name, labels, priority and other rules"),
    el("div", { className: "grid" }, ...more.map((one) => one.element)),
    labels.element,
  );
  const expected = entry(owner, ["expectEvery"], "Expected to succeed every", { number, placeholder: "1d", hint: "It is late when it has not succeeded for that long." });
  const doneBy = entry(owner, ["doneBy"], "Done by", { placeholder: "06:00", hint: "In the zone of its cron. A tick that has not succeeded by then makes it late." });
  const mails = mailControls(owner);
  const webhooks = webhooksControl(owner);
  const notifications = el(
    "details",
    {},
    el("summary", {}, "When it is late, mail and webhooks"),
    expected.element,
    doneBy.element,
    el("fieldset", {}, el("legend", {}, "Mail"), el("div", { className: "grid" }, ...mails.map((one) => one.element))),
    webhooks.element,
  );
  const folds = new Map<Control, HTMLDetailsElement>([
    ...[...more, labels].map((one) => [one, folded] as const),
    ...[expected, doneBy, ...mails, webhooks].map((one) => [one, notifications] as const),
  ]);
  const controls = [image, command, envs, schedule, ...limits, ...more, labels, expected, doneBy, ...mails, webhooks];
  return {
    element: el(
      "div",
      {},
      section("What runs", null, el("div", { className: "fields" }, image.element, command.element, envs.element)),
      section("Schedule", null, el("div", { className: "fields" }, schedule.element)),
      section("Limits", null, el("div", { className: "fields" }, el("div", { className: "grid" }, ...limits.map((one) => one.element)), folded)),
      section("Notifications", null, el("div", { className: "fields" }, notifications)),
    ),
    controls,
    show() {
      for (const control of controls) control.show();
      for (const [control, fold] of folds) fold.open ||= control.fields.some((name) => owner.body.has(top(name)));
    },
    reveal(control) {
      const fold = folds.get(control);
      if (fold) fold.open = true;
    },
    beyond: () => unshown(owner.body, controls),
  };
}
