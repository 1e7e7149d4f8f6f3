// A job's executions as a strip: a bar for each, as long as it ran, and under it the mark of how it ended. The newest is on the right.

import { type Execution, FINAL, statusWords } from "../api";
import { el } from "../dom";
import { attemptWords, running } from "../outcome";
import { duration, moment } from "../words";
import { shape } from "./marks";
import { logOf } from "./server";

/** Executions come newest first, and are drawn from the right. */
export function strip(executions: readonly Execution[]): HTMLElement {
  const ran = executions.some((one) => one.startedAt);
  const longest = Math.max(1, ...executions.map((one) => running(one) ?? 0));
  const bars = executions.map((one) => bar(one, longest));
  return el(
    "div",
    { className: "strip" },
    ran && el("p", { className: "scale", "aria-hidden": "true" }, duration(longest)),
    el("div", { className: "bars", role: "group", "aria-label": "Executions, the newest first", tabIndex: -1 }, ...bars),
  );
}

function bar(one: Execution, longest: number): HTMLElement {
  const time = running(one);
  const line = el("i", {});
  line.style.height = `${time === null ? 0 : Math.max(4, Math.round((time / longest) * 100))}%`;
  const words = [
    statusWords(one.status),
    attemptWords(one),
    time !== null && (FINAL.has(one.status) ? duration(time) : "so far"),
    moment(one.startedAt ?? one.scheduledFor),
  ];
  const text = words.filter(Boolean).join(", ");
  const href = logOf(one.taskId, one.jobId, one.executionId);
  return el(
    "a",
    { href, title: text, "aria-label": text, "data-status": one.status, "data-key": one.executionId },
    el("span", { className: "length" }, line),
    shape(one.status),
  );
}
