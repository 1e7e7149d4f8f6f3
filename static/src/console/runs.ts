// The next runs of a job.

import { el } from "../dom";
import { moment, zone } from "../words";
import { until } from "./times";

/** The next due times under their heading; nothing where none is known, as before a job with H in its cron is created. */
export function nextRuns(runs: readonly string[]): HTMLElement[] {
  if (!runs.length) return [];
  const rows = runs.map((run) => el("li", {}, el("span", {}, moment(run)), " ", until(run)));
  return [
    el("h3", {}, runs.length > 1 ? `The next runs, in your time zone (${zone()})` : "The next run"),
    el("ol", { className: "runs" }, ...rows),
  ];
}
