// The mark of a status: a colour, a shape of its own, and (unless told otherwise) its word. Those who see no colours know the shape.

import { statusWords } from "../api";
import { el } from "../dom";

const SVG = "http://www.w3.org/2000/svg";

/** Outlines on a grid of 16. Filled where something has ended; drawn where it is still to come or under way. */
const SHAPES: Record<string, { fill?: string; line?: string; dashed?: boolean }> = {
  done: { fill: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", line: "m4.9 8.2 2.2 2.2 4-4.6" },
  failed: { fill: "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z", line: "m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8" },
  timedout: { fill: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", line: "M8 4.2V8l2.8 1.8" },
  stopped: { fill: "M3.5 2h9A1.5 1.5 0 0 1 14 3.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 2 12.5v-9A1.5 1.5 0 0 1 3.5 2Z", line: "M6 6h4v4H6Z" },
  expired: { fill: "M8 .8 15.2 8 8 15.2.8 8Z", line: "M8 5v3.4m0 2.2v.1" },
  running: { line: "M8 2a6 6 0 1 1-6 6" },
  pulling: { line: "M8 2.5v7m-3-2.8 3 3 3-3M3 13.2h10" },
  enqueued: { line: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z", dashed: true },
  scheduled: { line: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM8 5v3l2 1.5" },
  skipped: { line: "m2.5 3 5 5-5 5m6-10 5 5-5 5" },
  missed: { line: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM3.8 12.2l8.4-8.4" },
  paused: { line: "M5.5 3v10m5-10v10" },
  idle: { line: "M5 3v10l8-5Z" },
};

/** The shape of a status alone, without words. */
export function shape(status: string): SVGSVGElement {
  const { fill, line, dashed } = SHAPES[status] ?? SHAPES.enqueued!;
  const svg = svgElement("svg", { viewBox: "0 0 16 16", class: "shape", "aria-hidden": "true", "data-shape": status });
  if (fill) svg.append(svgElement("path", { d: fill, class: "body" }));
  if (line) svg.append(svgElement("path", { d: line, class: fill ? "cut" : dashed ? "line dashed" : "line" }));
  return svg as SVGSVGElement;
}

/** The shape and the word of a status. */
export const mark = (status: string, words: string = statusWords(status)): HTMLElement =>
  el("span", { className: "mark", "data-status": status }, shape(status), words);

function svgElement(name: string, attributes: Record<string, string>): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
