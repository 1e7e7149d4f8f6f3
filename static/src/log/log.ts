// The log in the page: the lines that arrived, the ones that are shown, and the position in them.

import { Colours } from "./colours";
import { the } from "../dom";
import { type Growth, type Line, Lines, plain, type Stream, textOf } from "./lines";
import { LineList } from "./list";
import { Heading } from "./heading";
import { row } from "./row";
import { Search } from "./search";
import { count } from "../words";

/** Milliseconds for which arriving text is collected before it is shown. */
const GATHER = 30;
/** The most lines that are read aloud at once. */
const ALOUD = 5;

export type Choice = "all" | Stream | "found";

/** An attempt's lines: those from its heading to the next. */
interface Section {
  readonly id: string;
  readonly attempt: number;
  readonly line: Line;
  readonly heading: Heading;
  folded: boolean;
}

export interface LogOptions {
  /** The words of an attempt's heading. */
  heading(id: string, attempt: number): string;
  /** Called when the number of lines changes. */
  onChange(): void;
}

export class Log {
  readonly list: LineList;
  readonly search: Search;
  private lines = new Lines();
  private growth: Growth = { added: [], changed: new Set() };
  private timer = 0;
  private choice: Choice = "all";
  private last = -1;
  private shown = false;
  private sections: Section[] = [];
  private unread = 0;
  private aloud: string[] = [];
  private colours: Colours;

  constructor(private readonly options: LogOptions) {
    const darkness = matchMedia("(prefers-color-scheme: dark)");
    this.colours = new Colours(darkness.matches);
    darkness.addEventListener("change", () => {
      this.colours = new Colours(darkness.matches);
      this.list.restyle();
    });
    this.list = new LineList(the("log"), the("lines"), {
      render: (line) => this.sections.find((section) => section.line === line)?.heading.element ?? row(line, this.colours),
      onFollow: () => this.drawFollow(),
      onDraw: () => {
        this.drawFollow();
        this.search.mark();
      },
    });
    this.search = new Search(this.list, (line) => this.unfold(line), () => this.drawFound());
    this.drawFollow();
    this.drawFound();
  }

  /** How many lines are kept, whether any is shown, whether some are folded away, and how many were dropped. */
  get counts(): { all: number; shown: boolean; folded: boolean; dropped: number } {
    const folded = this.sections.some((section) => section.folded);
    return { all: this.lines.all.length - this.sections.length, shown: this.shown, folded, dropped: this.lines.dropped };
  }

  /** Adds text of a stream. */
  add(stream: Stream, time: string, text: string): void {
    this.lines.add(stream, time, text, this.growth);
    this.gatherSoon();
  }

  /** Adds the heading of an attempt, to which the lines after it belong. */
  begin(id: string, attempt: number): void {
    if (this.sections.some((section) => section.id === id)) return;
    this.lines.note(`Attempt ${attempt}`, this.growth);
    const section: Section = {
      id,
      attempt,
      line: this.growth.added.at(-1)!,
      heading: new Heading(() => this.toggle(section)),
      folded: false,
    };
    this.sections.push(section);
    this.drawHeadings();
    this.gatherSoon();
  }

  /** Whether an attempt has a heading. */
  get headed(): boolean {
    return this.sections.length > 0;
  }

  /** Updates the words of all headings. */
  drawHeadings(): void {
    for (const { heading, id, attempt, folded } of this.sections) heading.draw(this.options.heading(id, attempt), folded);
  }

  /** Ends the log. */
  finish(): void {
    this.lines.finish(this.growth);
    this.gatherSoon();
  }

  /** Starts over with an empty log. */
  restart(): void {
    this.lines = new Lines();
    this.growth = { added: [], changed: new Set() };
    this.sections = [];
    this.search.look(this.search.query, []);
    this.show(this.choice);
  }

  /** Searches all lines. */
  find(words: string): void {
    this.search.look(words, this.lines.all);
    if (this.choice === "found") this.show("found");
  }

  /** Chooses which lines are shown. */
  show(choice: Choice): void {
    this.choice = choice;
    const kept = this.lines.all.filter((line) => this.isShown(line));
    this.last = kept.at(-1)?.id ?? -1;
    this.shown = kept.some((line) => line.kind !== "note");
    this.list.reset(kept);
    this.options.onChange();
  }

  /** The shown lines as text. */
  text(): string {
    return textOf(this.lines.all.filter((line) => this.isShown(line)));
  }

  /** The lines to read aloud: those since the last call. */
  takeAloud(): string {
    return this.aloud.splice(0).join("\n");
  }

  private isShown(line: Line): boolean {
    if (line.kind === "note") return true;
    if (this.sectionOf(line)?.folded) return false;
    if (this.choice === "all") return true;
    if (this.choice === "found") return !this.search.query || this.search.matches(line);
    return line.kind === this.choice;
  }

  private sectionOf(line: Line): Section | undefined {
    return this.sections.findLast((section) => section.line.id < line.id);
  }

  private toggle(section: Section): void {
    const { following } = this.list;
    section.folded = !section.folded;
    this.drawHeadings();
    this.show(this.choice);
    if (!following) this.list.show(section.line);
    requestAnimationFrame(() => section.heading.focus());
  }

  /** Shows a line that may be folded away. */
  private unfold(line: Line): void {
    const section = this.sectionOf(line);
    if (!section?.folded) return;
    section.folded = false;
    this.drawHeadings();
    this.show(this.choice);
  }

  private gatherSoon(): void {
    this.timer ||= window.setTimeout(() => this.gather(), GATHER);
  }

  /** Shows the text that arrived since the last call. */
  private gather(): void {
    this.timer = 0;
    const { added, changed } = this.growth;
    this.growth = { added: [], changed: new Set() };
    const first = this.lines.trim();
    const fresh = [...new Set([...changed, ...added])].filter((line) => line.id >= (first ?? 0)).sort((a, b) => a.id - b.id);
    const more = fresh.filter((line) => line.id > this.last && this.isShown(line));
    this.last = more.at(-1)?.id ?? this.last;
    this.shown ||= more.some((line) => line.kind !== "note");
    this.list.touch(changed);
    this.list.append(more);
    this.search.extend(fresh);
    if (first !== null) {
      this.list.dropBefore(first);
      this.search.dropBefore(first);
    }
    if (!this.list.following) this.unread += more.length;
    if (the<HTMLInputElement>("aloud").checked) this.aloud = [...this.aloud, ...more.filter((line) => line.kind !== "note").map(plain)].slice(-ALOUD);
    this.drawFollow();
    this.options.onChange();
  }

  private drawFollow(): void {
    const { following } = this.list;
    if (following) this.unread = 0;
    the("follow").setAttribute("aria-pressed", String(following));
    const newer = the("newer");
    newer.hidden = following || this.list.atEnd;
    const words = this.unread ? `↓ ${count(this.unread)} new ${this.unread === 1 ? "line" : "lines"}` : "↓ To the end";
    if (newer.textContent !== words) newer.textContent = words;
  }

  private drawFound(): void {
    const { query, found, current } = this.search;
    const at = current < 0 ? "" : `${count(current + 1)} of `;
    the("found").textContent = query ? (found.length ? at + count(found.length) : "none") : "";
    for (const id of ["back", "next"]) the<HTMLButtonElement>(id).disabled = !found.length;
  }
}
