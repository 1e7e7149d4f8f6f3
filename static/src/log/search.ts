// Searches the kept lines: which ones match, which one is current, and the marks on those in the document. A long search is done in slices, so
// that the page stays usable meanwhile.

import { type Line, plain } from "./lines";
import type { LineList } from "./list";
import { BadPattern, Pattern } from "./pattern";

const canMark = "highlights" in CSS;
/** Milliseconds of a slice, and for the marks on the lines in the document. */
const SLICE = 12;
const MARKING = 30;
/** Marks in a line. */
const MOST_MARKS = 100;

export interface Wanted {
  words: string;
  /** Whether the words are a regular expression. */
  isPattern: boolean;
  /** Whether upper and lower case differ. */
  exact: boolean;
}

type Find = (text: string, from: number) => readonly [number, number] | null;

export interface SearchOptions {
  /** All lines that are kept, in order; their ids are consecutive. */
  lines(): readonly Line[];
  /** Called before a line is shown. */
  onStep(line: Line): void;
  onChange(): void;
  /** Called when all lines have been searched. */
  onDone(): void;
}

export class Search {
  wanted: Wanted = { words: "", isPattern: false, exact: false };
  found: Line[] = [];
  current = -1;
  /** What is wrong with the expression. */
  fault: string | null = null;
  private find: Find | null = null;
  private known = new Set<Line>();
  /** The id of the next line to be searched; null when all were. */
  private next: number | null = null;
  private timer = 0;
  private waiting: 1 | -1 | null = null;

  constructor(
    private readonly list: LineList,
    private readonly options: SearchOptions,
  ) {}

  /** Whether there is something to search for. */
  get isOn(): boolean {
    return this.find !== null;
  }

  /** Whether not all lines have been searched yet. */
  get isBusy(): boolean {
    return this.next !== null;
  }

  has(line: Line): boolean {
    return this.known.has(line);
  }

  /** Searches for something else. */
  look(wanted: Wanted): void {
    clearTimeout(this.timer);
    this.wanted = wanted;
    this.found = [];
    this.known.clear();
    this.current = -1;
    this.waiting = null;
    this.fault = null;
    this.find = null;
    try {
      this.find = wanted.words ? finder(wanted) : null;
    } catch (error) {
      if (!(error instanceof BadPattern)) throw error;
      this.fault = error.message;
    }
    this.next = this.find && (this.options.lines()[0]?.id ?? null);
    this.slice();
  }

  /** Searches lines that are new or have changed. */
  extend(lines: Iterable<Line>): void {
    if (!this.find || this.isBusy) return;
    const last = this.found.at(-1)?.id ?? -1;
    let more = false;
    for (const line of lines) if (line.id > last && this.matches(line)) more = this.add(line);
    if (more) this.options.onChange();
  }

  /** Drops matches in lines that are no longer kept. */
  dropBefore(id: number): void {
    const gone = this.found.findIndex((line) => line.id >= id);
    const count = gone < 0 ? this.found.length : gone;
    if (!count) return;
    for (const line of this.found.splice(0, count)) this.known.delete(line);
    this.current = Math.max(-1, this.current - count);
    this.options.onChange();
  }

  /** Goes to the next match (1) or the previous one (-1): as soon as that is known. */
  step(by: 1 | -1): void {
    const count = this.found.length;
    const isKnown = this.current < 0 ? by > 0 && count : by > 0 ? this.current < count - 1 : this.current > 0;
    if (this.isBusy && !isKnown) {
      this.waiting = by;
      return;
    }
    if (!count) return;
    this.current = this.current < 0 ? (by > 0 ? 0 : count - 1) : (this.current + by + count) % count;
    this.options.onStep(this.found[this.current]!);
    this.list.show(this.found[this.current]!);
    this.options.onChange();
  }

  /** Marks the matches in the document. */
  mark(): void {
    const all: Range[] = [];
    const one: Range[] = [];
    const current = this.found[this.current];
    const until = performance.now() + MARKING;
    for (const [line, row] of this.list.drawn()) {
      row.classList.toggle("current", line === current);
      if (!canMark || !this.has(line)) continue;
      if (line === current) one.push(...this.ranges(row));
      else if (performance.now() < until) all.push(...this.ranges(row));
    }
    if (!canMark) return;
    CSS.highlights.set("found", new Highlight(...all));
    CSS.highlights.set("current", new Highlight(...one));
  }

  /** Searches for a while, and goes on later. */
  private slice(): void {
    const lines = this.options.lines();
    const first = lines[0]?.id ?? 0;
    const until = performance.now() + SLICE;
    if (this.next !== null) {
      let at = Math.max(0, this.next - first);
      for (; at < lines.length && performance.now() < until; at++) if (this.matches(lines[at]!)) this.add(lines[at]!);
      this.next = at < lines.length ? first + at : null;
      if (this.next !== null) this.timer = window.setTimeout(() => this.slice(), 0);
    }
    const { waiting } = this;
    this.waiting = null;
    if (waiting) this.step(waiting);
    this.mark();
    this.options.onChange();
    if (!this.isBusy) this.options.onDone();
  }

  private matches(line: Line): boolean {
    return line.kind !== "note" && this.find!(plain(line), 0) !== null;
  }

  private add(line: Line): true {
    this.found.push(line);
    this.known.add(line);
    return true;
  }

  private ranges(row: HTMLElement): Range[] {
    const text = row.querySelector(".text");
    if (!text || !this.find) return [];
    const nodes: [Text, number][] = [];
    let all = "";
    const walk = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      nodes.push([node as Text, all.length]);
      all += (node as Text).data;
    }
    const place = (at: number): [Text, number] => {
      const [node, start] = nodes.findLast(([, begin]) => begin <= at)!;
      return [node, at - start];
    };
    const ranges: Range[] = [];
    for (let from = 0; from < all.length && ranges.length < MOST_MARKS; ) {
      const found = this.find(all, from);
      if (!found) break;
      const [begin, end] = found;
      from = Math.max(end, begin + 1);
      if (begin === end) continue;
      const range = new Range();
      range.setStart(...place(begin));
      const [node, offset] = place(end - 1);
      range.setEnd(node, offset + 1);
      ranges.push(range);
    }
    return ranges;
  }
}

/** Throws BadPattern. */
function finder({ words, isPattern, exact }: Wanted): Find {
  if (isPattern) {
    const pattern = new Pattern(words, exact);
    return (text, from) => pattern.find(text, from);
  }
  const query = exact ? words : words.toLowerCase();
  return (text, from) => {
    const lower = exact ? text : text.toLowerCase();
    const at = lower.indexOf(query, from);
    if (at < 0) return null;
    // A few letters change their length with their case: then the line matches, and nothing in it is marked.
    return lower.length === text.length ? [at, at + query.length] : [from, from];
  };
}
