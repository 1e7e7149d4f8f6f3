// Hosts and pools: what runs and waits in each, which hosts can be used, who works, and which calendars there are. Administrators pause pools and drain hosts here.

import { el, say } from "../dom";
import { count, memory, sentence, size } from "../words";
import type { Page } from "./page";
import { nothing, section, table } from "./parts";
import { bar } from "./pools";
import { api, get, send } from "./server";
import { administers, session } from "./session";
import type { Calendar, Host, Pool, Status } from "./shapes";
import { ago } from "./times";

export const hostsPage: Page = {
  nav: "hosts",
  title: "Hosts and pools",
  acts: { dispatch: changeDispatch, pool: changePool, host: changeHost },
  async load() {
    const [who, status, { items }, calendars] = await Promise.all([
      session(),
      get<Status>(api.status),
      get<{ items: Pool[] }>(api.pools),
      get<{ items: Calendar[] }>(api.calendars),
    ]);
    const barred = administers(who);
    return () => [
      el("h1", { "data-key": "title" }, "Hosts and pools"),
      ...(barred ? [el("p", { className: "muted", "data-key": "barred" }, barred)] : []),
      section("Pools", dispatch(status, barred), pools(items, barred)),
      section("Hosts", null, hosts(status.hosts, barred)),
      section("Workers", null, workers(status)),
      ...(calendars.items.length ? [section("Calendars", null, dates(calendars.items))] : []),
    ];
  },
};

function pools(all: readonly Pool[], barred: string | null): HTMLElement {
  const columns = [
    { title: "Pool", cell: (pool: Pool) => el("span", { className: "name" }, el("bdi", {}, pool.name), pool.paused ? el("span", { className: "tag" }, "paused") : null) },
    { title: "Takes tasks", wide: true, cell: (pool: Pool) => (pool.match ? el("code", {}, pool.match) : "all others") },
    { title: "Load", is: "grow" as const, cell: load },
    { title: "Hosts", wide: true, is: "number" as const, cell: (pool: Pool) => `${count(pool.hosts.filter((host) => host.usable).length)} of ${count(pool.hosts.length)}` },
    { title: "Action", is: "number" as const, cell: (pool: Pool) => toggle("pool", pool.name, pool.paused ? "Resume" : "Pause", barred) },
  ];
  return table("Pools, in the order in which a task looks for its own", columns, all, (pool) => pool.name);
}

function load(pool: Pool): HTMLElement {
  const free = Math.max(0, pool.maxRunning - pool.running);
  const words = [`${count(pool.running)} running`, `${count(free)} free`, pool.waiting ? `${count(pool.waiting)} waiting` : null];
  return el("div", {}, el("span", { className: "muted" }, words.filter(Boolean).join(" · ")), bar(pool.running, free, pool.waiting));
}

function hosts(all: readonly Host[], barred: string | null): HTMLElement {
  if (!all.length) return nothing("No host is known yet: a worker tells of its hosts as soon as it has started.");
  const columns = [
    { title: "Host", is: "grow" as const, cell: (one: Named) => el("div", {}, el("code", {}, ...nameOf(one.name)), el("div", { className: "reason" }, reasonOf(one.host))) },
    { title: "State", cell: ({ host }: Named) => el("span", { "data-host": hostState(host) }, el("span", { className: "state" }, hostState(host))) },
    { title: "Pools", wide: true, cell: (one: Named) => one.pools.join(", ") },
    { title: "Running", is: "number" as const, cell: ({ host }: Named) => count(host.running) },
    { title: "Machine", wide: true, is: "number" as const, cell: ({ host }: Named) => el("span", { className: "parted" }, machine(host)) },
    { title: "Action", is: "number" as const, cell: (one: Named) => toggle("host", one.name, one.host.blacklisted ? "Undrain" : "Drain", barred) },
  ];
  return table("Hosts", columns, byName(all), (one) => one.name);
}

function workers(status: Status): HTMLElement {
  const { items } = status.workers;
  if (!items.length) return nothing("No worker is alive, so nothing starts. Start one with ", el("code", {}, "fastlane worker"), ".");
  const columns = [
    { title: "Worker", is: "grow" as const, cell: (one: Worker) => el("code", {}, one.id) },
    { title: "Version", cell: (one: Worker) => one.version ?? "older" },
    { title: "Clock", wide: true, cell: (one: Worker) => (one.clockSkewMs === null ? "" : `${count(Math.abs(one.clockSkewMs))} ms ${one.clockSkewMs < 0 ? "behind" : "ahead"}`) },
    { title: "Started", is: "number" as const, cell: (one: Worker) => ago(one.startedAt) },
  ];
  return table("Workers that are alive", columns, items, (one) => one.id);
}

/** What jobs name in `skipDates`. */
function dates(all: readonly Calendar[]): HTMLElement {
  const columns = [
    { title: "Calendar", is: "grow" as const, cell: (one: Calendar) => el("span", { className: "name" }, el("bdi", {}, one.name)) },
    { title: "Dates", is: "number" as const, cell: (one: Calendar) => count(one.count) },
    { title: "Jobs", is: "number" as const, cell: (one: Calendar) => count(one.usedBy) },
    { title: "Known until", wide: true, cell: (one: Calendar) => one.knownUntil ?? "" },
    { title: "Changed", is: "number" as const, cell: (one: Calendar) => (one.changedAt ? ago(one.changedAt) : "in the settings") },
  ];
  return table("Calendars, by name", columns, all, (one) => one.name);
}

type Worker = Status["workers"]["items"][number];

// hosts

/** A host with all pools that give it work. */
export interface Named {
  name: string;
  host: Host;
  pools: string[];
}

/** An address that breaks before its port where it has to. */
function nameOf(name: string): (Node | string)[] {
  const port = name.lastIndexOf(":");
  return port > 0 ? [name.slice(0, port), el("wbr"), name.slice(port)] : [name];
}

/** Each host once. */
export function byName(hosts: readonly Host[]): Named[] {
  const found = new Map<string, Named>();
  for (const host of hosts) {
    const name = host.port === null ? host.host : `${host.host}:${host.port}`;
    const known = found.get(name);
    if (known) known.pools.push(host.pool);
    else found.set(name, { name, host, pools: [host.pool] });
  }
  return [...found.values()];
}

export function hostState(host: Host): string {
  if (host.blacklisted) return "drained";
  if (host.circuit === "open" || host.circuit === "half-open") return "away";
  return host.available ? "usable" : "unusable";
}

/** Why it gets no new work, if so. */
export function reasonOf(host: Host): HTMLElement | null {
  if (host.available) return null;
  const words = el("span", {}, host.error ? sentence(host.error) : "It gets no new work.");
  if (host.since) words.append(" Since ", ago(host.since), ".");
  return words;
}

function machine({ cpus, memoryBytes, disk }: Host): string {
  const free = disk?.freeBytes;
  const parts = [cpus && `${count(cpus)} CPUs`, memoryBytes && memory(memoryBytes), typeof free === "number" && `${size(free)} of disk free`];
  return parts.filter(Boolean).join(" · ");
}

// what administrators do

const dispatch = ({ dispatch: { paused } }: Status, barred: string | null): HTMLElement =>
  paused ? toggle("dispatch", "all dispatch", "Resume", barred, "Resume all dispatch") : toggle("dispatch", "all dispatch", "Pause", barred, "Pause all dispatch");

/** `shown`: its words where nothing beside it says what it is for. */
function toggle(act: string, name: string, words: string, barred: string | null, shown = words): HTMLElement {
  return el(
    "button",
    { type: "button", "data-act": act, "data-name": name, "data-verb": words, disabled: barred !== null, title: barred ?? "", "aria-label": `${words} ${name}` },
    shown,
  );
}

async function changeDispatch(button: HTMLElement): Promise<void> {
  const { verb } = button.dataset;
  await send("POST", api.dispatch(verb!.toLowerCase()));
  say(`All dispatch was ${verb === "Pause" ? "paused" : "resumed"}`);
}

async function changePool(button: HTMLElement): Promise<void> {
  const { name, verb } = button.dataset;
  await send("POST", api.pool(name!, verb!.toLowerCase()));
  say(`The pool ${name} was ${verb === "Pause" ? "paused" : "resumed"}`);
}

async function changeHost(button: HTMLElement): Promise<void> {
  const { name, verb } = button.dataset;
  await send(verb === "Drain" ? "PUT" : "DELETE", api.blacklist, { host: name });
  say(`The host ${name} ${verb === "Drain" ? "was drained" : "gets work again"}`);
}
