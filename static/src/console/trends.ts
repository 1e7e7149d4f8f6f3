// What a job's newest runs took, a row for each measure: figures, and a bar for each run. The figures say over how many runs they are.
// And what they say about the job's definition.

import { el } from "../dom";
import { count, duration, memory, sentence, size } from "../words";
import { section, table } from "./parts";
import type { JobAdvice, JobStats } from "./shapes";
import { ago } from "./times";

/** Fewer runs than this show no trend. */
const LEAST = 2;
/** Of more runs, each bar stands for the largest of several. */
const MOST_BARS = 50;

type Key = "durationMs" | "memoryPeakBytes" | "cpuSeconds" | "outputBytes";
interface Measure {
  title: string;
  key: Key;
  words(value: number): string;
}

const MEASURES: readonly Measure[] = [
  { title: "Duration", key: "durationMs", words: duration },
  { title: "Memory peak", key: "memoryPeakBytes", words: memory },
  { title: "Processor", key: "cpuSeconds", words: (seconds) => duration(seconds * 1_000) },
  { title: "Output", key: "outputBytes", words: size },
];

/** Null where too few runs have ended. */
export function trends(stats: JobStats): HTMLElement | null {
  const measured = MEASURES.filter(({ key }) => stats[key].runs >= LEAST && (stats[key].most ?? 0) > 0);
  if (stats.runs < LEAST || !measured.length) return null;
  const figure = (title: string, of: "newest" | "median" | "most", wide = false) => ({
    title,
    wide,
    is: "number" as const,
    cell: ({ key, words }: Measure) => known(stats[key][of], words),
  });
  const columns = [
    { title: "Measure", cell: (one: Measure) => named(stats, one) },
    { title: "Runs", is: "grow" as const, cell: (one: Measure) => plot(stats, one) },
    figure("Newest", "newest", true),
    figure("Median", "median"),
    figure("Most", "most", true),
  ];
  const ended = Object.entries(stats.ended).map(([status, runs]) => `${count(runs)} ${status}`).join(", ");
  const aside = el("span", {}, `over ${count(stats.runs)} runs (${ended}) since `, ago(stats.items[stats.items.length - 1]!.startedAt!));
  return section("Trends", aside, table("What the last runs took", columns, measured, ({ key }) => key));
}

const known = (value: number | null, words: (value: number) => string): string => (value === null ? "" : words(value));

/** The measure, and over how many runs it is where some were not measured. */
function named(stats: JobStats, { title, key }: Measure): HTMLElement {
  const { runs } = stats[key];
  return el("div", {}, title, runs < stats.runs && el("div", { className: "muted" }, `of ${count(runs)}`));
}

/** A bar for each run, oldest first, as high as its share of the largest; what it says for those who do not see it. */
function plot(stats: JobStats, { title, key, words }: Measure): HTMLElement {
  const { olderMedian, newerMedian, most, least } = stats[key];
  const values = stats.items.map((run) => run[key]).reverse();
  const said = `${title} of each run, from ${known(least, words)} to ${known(most, words)}`;
  const halves = olderMedian === null || newerMedian === null ? "" : `older half ${words(olderMedian)}, newer half ${words(newerMedian)}`;
  const bars = grouped(values).map((value) => bar(value, most ?? 1));
  const label = halves ? `${said}; medians: ${halves}` : said;
  return el("div", {}, el("div", { className: "plot", role: "img", "aria-label": label }, ...bars), halves && el("small", { className: "muted" }, sentenceCase(halves)));
}

const sentenceCase = (words: string): string => `${words.charAt(0).toUpperCase()}${words.slice(1)}`;

function bar(value: number | null, most: number): HTMLElement {
  const line = el("i", {});
  line.style.height = value === null ? "0" : `${Math.max(3, Math.round((value / most) * 100))}%`;
  return line;
}

/** The values, or the largest of several each, where there are more than bars. */
function grouped(values: readonly (number | null)[]): (number | null)[] {
  const each = Math.ceil(values.length / MOST_BARS);
  if (each <= 1) return [...values];
  const groups: (number | null)[] = [];
  for (let at = 0; at < values.length; at += each) {
    const some = values.slice(at, at + each).filter((value) => value !== null);
    groups.push(some.length ? Math.max(...some) : null);
  }
  return groups;
}

/** Null where nothing calls for a change. */
export function advised({ advice, executions }: JobAdvice): HTMLElement | null {
  if (!advice.length) return null;
  const rows = advice.map((one) =>
    el("li", { "data-key": one.code }, sentence(one.message), el("div", { className: "muted" }, sentence(one.change))),
  );
  return section("Advice", `by the last ${count(executions)} executions`, el("ul", { className: "advice" }, ...rows));
}
