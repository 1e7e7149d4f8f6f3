// How a job's container is set up, as rows of what it runs.

import type { ContainerAsked } from "../contract";
import { el } from "../dom";

type Row = readonly [string, HTMLElement | string | null];

const TITLES: Record<keyof ContainerAsked, string> = {
  entrypoint: "Entry point",
  user: "User",
  workdir: "Working directory",
  hostname: "Host name",
  init: "Init process",
  readOnly: "Root file system",
  stopSignal: "Stop signal",
  stopGrace: "Time to stop",
  mounts: "Mounts",
  networks: "Networks",
  secrets: "Secrets",
  configs: "Configs",
  constraints: "Nodes",
  extraHosts: "Hosts",
  dns: "Name servers",
  capAdd: "Capabilities added",
  capDrop: "Capabilities dropped",
  sysctls: "Kernel parameters",
  ulimits: "Limits of processes",
};

/** A row for each option that the job sets. */
export function options(container: ContainerAsked | null): Row[] {
  if (!container) return [];
  return (Object.keys(TITLES) as (keyof ContainerAsked)[]).map((name) => [TITLES[name], shown(container, name)]);
}

/** Texts, a line each; null for none. */
export const several = (texts: readonly string[]): HTMLElement | null =>
  texts.length ? el("ul", { className: "envs" }, ...texts.map((text) => el("li", {}, el("code", {}, text)))) : null;

function shown(container: ContainerAsked, name: keyof ContainerAsked): HTMLElement | string | null {
  switch (name) {
    case "init":
      return container.init === null ? null : container.init ? "one" : "none";
    case "readOnly":
      return container.readOnly === null ? null : container.readOnly ? "can only be read" : "can be written";
    case "mounts":
      return several(container.mounts.map((one) => `${one.source ?? one.type}:${one.target}${one.readOnly ? ":ro" : ""}`));
    case "secrets":
      return several(container.secrets.map((one) => `${one.name}: /run/secrets/${one.target}`));
    case "configs":
      return several(container.configs.map((one) => `${one.name}: ${one.target} (${one.mode}, ${one.uid}:${one.gid})`));
    case "extraHosts":
    case "sysctls":
      return several(Object.entries(container[name]).map(([key, value]) => `${key}=${value}`));
    case "ulimits":
      return several(Object.entries(container.ulimits).map(([key, one]) => `${key}=${one.soft}:${one.hard}`));
    default: {
      const value = container[name];
      if (Array.isArray(value)) return several(value);
      return value === null ? null : el("code", {}, value);
    }
  }
}
