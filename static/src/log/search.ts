// Searches the kept lines: which ones match, which one is current, and the marks on those in the document.

import { type Line, plain } from "./lines";
import type { LineList } from "./list";

const canMark = "highlights" in CSS;

export class Search {
  query = "";
  found: Line[] = [];
  current = -1;

  constructor(
    private readonly list: LineList,
    /** Called before a line is shown. */
    private readonly onStep: (line: Line) => void,
    private readonly onChange: () => void,
  ) {}

  matches(line: Line): boolean {
    return line.kind !== "note" && plain(line).toLowerCase().includes(this.query);
  }

  /** Searches for new words. */
  look(words: string, lines: readonly Line[]): void {
    this.query = words.toLowerCase();
    this.found = this.query ? lines.filter((line) => this.matches(line)) : [];
    this.current = -1;
    this.mark();
    this.onChange();
  }

  /** Searches lines that are new or have changed. */
  extend(lines: Iterable<Line>): void {
    if (!this.query) return;
    const last = this.found.at(-1)?.id ?? -1;
    const more = [...lines].filter((line) => line.id > last && this.matches(line));
    if (more.length) {
      this.found.push(...more);
      this.onChange();
    }
  }

  /** Drops matches in lines that are no longer kept. */
  dropBefore(id: number): void {
    const gone = this.found.findIndex((line) => line.id >= id);
    const count = gone < 0 ? this.found.length : gone;
    if (!count) return;
    this.found.splice(0, count);
    this.current = Math.max(-1, this.current - count);
    this.onChange();
  }

  /** Goes to the next match (1) or the previous one (-1). */
  step(by: 1 | -1): void {
    const count = this.found.length;
    if (!count) return;
    this.current = this.current < 0 ? (by > 0 ? 0 : count - 1) : (this.current + by + count) % count;
    this.onStep(this.found[this.current]!);
    this.list.show(this.found[this.current]!);
    this.onChange();
  }

  /** Marks the matches in the document. */
  mark(): void {
    const all: Range[] = [];
    const one: Range[] = [];
    const current = this.found[this.current];
    for (const [line, row] of this.list.drawn()) {
      row.classList.toggle("current", line === current);
      if (canMark && this.query && this.matches(line)) (line === current ? one : all).push(...this.ranges(row));
    }
    if (!canMark) return;
    CSS.highlights.set("found", new Highlight(...all));
    CSS.highlights.set("current", new Highlight(...one));
  }

  private ranges(row: HTMLElement): Range[] {
    const text = row.querySelector(".text");
    if (!text) return [];
    const nodes: [Text, number][] = [];
    let all = "";
    const walk = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      nodes.push([node as Text, all.length]);
      all += (node as Text).data;
    }
    const lower = all.toLowerCase();
    if (lower.length !== all.length) return [];
    const place = (at: number): [Text, number] => {
      const [node, start] = nodes.findLast(([, begin]) => begin <= at)!;
      return [node, at - start];
    };
    const ranges: Range[] = [];
    for (let at = lower.indexOf(this.query); at >= 0 && ranges.length < 100; at = lower.indexOf(this.query, at + this.query.length)) {
      const range = new Range();
      range.setStart(...place(at));
      const [node, offset] = place(at + this.query.length - 1);
      range.setEnd(node, offset + 1);
      ranges.push(range);
    }
    return ranges;
  }
}
