// The log in the page: the lines that arrived, the ones that are shown, and the position in them.

import { Colours } from "./colours";
import { commandOf, Groups } from "./commands";
import { el, the } from "../dom";
import { type Growth, type Line, Lines, plain, type Stream, textOf } from "./lines";
import { LineList } from "./list";
import { Heading } from "./heading";
import { notice } from "./notices";
import type { Target } from "./permalink";
import { row } from "./row";
import { Search, type Wanted } from "./search";
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
  /** Whether lines of an execution's log say something: ::error:: and others. */
  isAnnotated(id: string): boolean;
  /** Called when the number of lines changes. */
  onChange(): void;
  /** Called when following the end starts or stops. */
  onFollow(following: boolean): void;
  /** Called when no more lines can be kept without dropping the marked ones. */
  onFull(): void;
}

/** A line that has an address. */
export interface LineAddress {
  execution: string;
  number: number;
}

/** The lines that an address names. */
export interface Marked extends Target {
  execution: string;
}

/** Lines that are kept before the marked ones, when there are too many. */
const CONTEXT = 1_000;

export class Log {
  readonly list: LineList;
  readonly search: Search;
  private lines = new Lines();
  private growth: Growth = { added: [], changed: new Set() };
  private timer = 0;
  private choice: Choice = "all";
  private last = -1;
  /** The id of the last line that was looked at. */
  private gathered = -1;
  private shown = false;
  private sections: Section[] = [];
  private groups = new Groups();
  /** Lines that came since someone stopped following. On a page that opened elsewhere than at the end, none are new. */
  private unread = 0;
  private hasFollowed = false;
  private aloud: string[] = [];
  private colours: Colours;
  /** The line of stderr to which someone jumped last. */
  private jumped: Line | null = null;
  /** The lines that an address names, and the first of them once it has arrived. */
  marked: Marked | null = null;
  private pin: Line | null = null;
  /** The execution of the lines before the first heading. */
  private execution: string | null = null;

  constructor(private readonly options: LogOptions) {
    const darkness = matchMedia("(prefers-color-scheme: dark)");
    this.colours = new Colours(darkness.matches);
    darkness.addEventListener("change", () => {
      this.colours = new Colours(darkness.matches);
      this.list.restyle();
    });
    this.list = new LineList(the("log"), the("lines"), {
      render: (line) => this.sections.find((section) => section.line === line)?.heading.element ?? this.row(line),
      onFollow: (following) => {
        this.drawFollow();
        this.options.onFollow(following);
      },
      onDraw: () => {
        this.drawFollow();
        this.search.mark();
        this.drawMarked();
        for (const [line, row] of this.list.drawn()) row.classList.toggle("jumped", line === this.jumped);
      },
    });
    this.search = new Search(this.list, {
      lines: () => this.lines.all,
      onStep: (line) => this.unfold(line),
      onChange: () => this.drawFound(),
      onDone: () => this.choice === "found" && this.show("found"),
    });
    this.drawFollow();
    this.drawFound();
  }

  /** How many lines are kept, whether any is shown, whether some are folded away, and how many were dropped. */
  get counts(): { all: number; shown: boolean; folded: boolean; dropped: number } {
    const folded = this.sections.some((section) => section.folded) || this.groups.areFolded;
    return { all: this.lines.all.length - this.sections.length, shown: this.shown, folded, dropped: this.lines.dropped };
  }

  /** The lines that follow are of this execution, until there is a heading; `whole`: from its first line on. */
  expect(execution: string, whole: boolean): void {
    this.execution = execution;
    if (!whole) this.lines.beginWithin();
  }

  /** Marks lines, and shows them as soon as they are there, unless `show` is false; none without any. */
  mark(marked: Marked | null, show = true): void {
    this.marked = marked;
    this.pin = null;
    this.drawMarked();
    if (!marked) return;
    this.list.follow(false);
    this.seek(this.lines.all, show);
  }

  /** Whether the marked lines are here, are to come, or were dropped or never asked for; null when none are marked. */
  get markedAre(): "here" | "to come" | "gone" | null {
    if (!this.marked) return null;
    if (this.pin) return "here";
    const last = this.lastOf(this.marked.execution);
    return last && (last.number < 0 || last.number >= this.marked.first) ? "gone" : "to come";
  }

  /** The number of the last line of an execution, as far as it has arrived. */
  lastNumber(execution: string): number {
    return this.lastOf(execution)?.number ?? 0;
  }

  /** Lets go of the marked lines: newer ones may take their place. */
  release(): void {
    this.pin = null;
    this.marked = null;
    this.drawMarked();
    this.gatherSoon();
  }

  /** The line of an element in the log, and its execution; null for what is no line of an execution, or has no number. */
  lineAt(element: Element): LineAddress | null {
    const found = element.closest(".row");
    for (const [line, row] of this.list.drawn()) if (row === found) return this.addressOf(line);
    return null;
  }

  /** The current match, or else the first line in view. */
  get lineInView(): LineAddress | null {
    const line = this.search.found[this.search.current] ?? this.list.firstInView;
    return line ? this.addressOf(line) : null;
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
    this.groups = new Groups();
    this.gathered = -1;
    this.pin = null;
    this.jumped = null;
    this.search.look(this.search.wanted);
    this.show(this.choice);
  }

  /** Searches all lines. */
  find(wanted: Wanted): void {
    this.search.look(wanted);
  }

  /** Goes to the next line of stderr (1), or the previous one (-1), from where one is in the log; whether there is one. */
  jump(by: 1 | -1): boolean {
    const from = this.jumped && this.list.isDrawn(this.jumped) ? this.jumped : this.list.firstInView;
    const isNext = (line: Line): boolean => line.kind === "stderr" && (!from || (by > 0 ? line.id > from.id : line.id < from.id));
    const all = this.lines.all;
    const first = !this.jumped && from?.kind === "stderr" ? from : undefined;
    const found = first ?? (by > 0 ? all.find(isNext) : all.findLast(isNext));
    if (!found) return false;
    this.jumped = found;
    this.unfold(found);
    if (!this.isShown(found)) this.show("all");
    this.list.show(found);
    return true;
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
    if (this.sectionOf(line)?.folded || this.groups.hides(line)) return false;
    if (this.choice === "all") return true;
    if (this.choice === "found") return !this.search.isOn || this.search.has(line);
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
    const isInFolded = this.groups.open(line);
    if (!section?.folded && !isInFolded) return;
    if (section) section.folded = false;
    this.drawHeadings();
    this.show(this.choice);
  }

  /** Whether there are groups, and whether some are folded. */
  get grouped(): { any: boolean; folded: boolean } {
    return { any: this.groups.any, folded: this.groups.areFolded };
  }

  /** Folds all groups; or opens them, if some are folded. */
  foldGroups(): void {
    this.groups.fold(!this.groups.areFolded);
    const { following, firstInView } = this.list;
    const place = firstInView && this.list.placeOf(firstInView);
    this.show(this.choice);
    if (!following && firstInView) this.list.show(this.isShown(firstInView) ? firstInView : this.shownBefore(firstInView), place);
  }

  /** The last shown line before one that is not shown. */
  private shownBefore(line: Line): Line {
    return this.lines.all.findLast((one) => one.id < line.id && this.isShown(one)) ?? line;
  }

  /** The element of a line. One that begins a group has a button, and a press on its words does the same. */
  private row(line: Line): HTMLElement {
    const command = line.text.startsWith("::") && this.isAnnotated(line) ? commandOf(line) : null;
    const element = row(line, this.colours, command);
    if (command?.kind !== "group") return element;
    const folded = this.groups.isFolded(line);
    const words = `Group ${plain(line).slice(command.prefix)}`;
    const button = el("button", { type: "button", className: "from", "aria-expanded": String(!folded), "aria-label": words });
    element.querySelector(".from")!.replaceWith(button);
    const toggle = (): void => this.toggleGroup(line);
    button.addEventListener("click", toggle);
    element.querySelector(".text")!.addEventListener("click", () => getSelection()?.isCollapsed !== false && toggle());
    return element;
  }

  private isAnnotated(line: Line): boolean {
    const id = this.executionOf(line);
    return id === null || this.options.isAnnotated(id);
  }

  private toggleGroup(line: Line): void {
    const { following } = this.list;
    this.groups.toggle(line);
    const keep = this.list.placeOf(line);
    this.show(this.choice);
    if (!following || !this.groups.isFolded(line)) this.list.show(line, keep);
    requestAnimationFrame(() => this.list.elementOf(line)?.querySelector<HTMLElement>("button")?.focus({ preventScroll: true }));
  }

  /** Drops the oldest lines when there are too many; the id of the first one left, null when none was dropped. */
  private trim(): number | null {
    const { excess } = this.lines;
    if (!excess) return null;
    const before = this.pin ? this.lines.all.findIndex((line) => line.id >= this.pin!.id) - CONTEXT : excess;
    if (before >= excess) return this.lines.drop(excess);
    this.options.onFull();
    return null;
  }

  /** Looks for the first of the marked lines, and shows it. */
  private seek(lines: readonly Line[], show = true): void {
    const { marked } = this;
    if (!marked || this.pin) return;
    const found = lines.find((line) => line.number === marked.first && this.executionOf(line) === marked.execution);
    if (!found) return;
    this.pin = found;
    if (!show) return;
    this.unfold(found);
    if (!this.isShown(found)) this.show("all");
    requestAnimationFrame(() => requestAnimationFrame(() => this.list.show(found)));
  }

  private executionOf(line: Line): string | null {
    return this.sectionOf(line)?.id ?? this.execution;
  }

  private addressOf(line: Line): LineAddress | null {
    const execution = this.executionOf(line);
    return execution && line.number > 0 ? { execution, number: line.number } : null;
  }

  private lastOf(execution: string): Line | undefined {
    return this.lines.all.findLast((line) => line.id <= this.gathered && line.kind !== "note" && this.executionOf(line) === execution);
  }

  private drawMarked(): void {
    const { marked } = this;
    for (const [line, element] of this.list.drawn()) {
      const is = marked && line.number >= marked.first && line.number <= marked.last && this.executionOf(line) === marked.execution;
      element.classList.toggle("linked", Boolean(is));
    }
  }

  private gatherSoon(): void {
    this.timer ||= window.setTimeout(() => this.gather(), GATHER);
  }

  /** Shows the text that arrived since the last call. */
  private gather(): void {
    this.timer = 0;
    const { added, changed } = this.growth;
    this.growth = { added: [], changed: new Set() };
    this.gathered = added.at(-1)?.id ?? this.gathered;
    for (const lines of [changed, added])
      for (const line of lines) if (line.kind === "note" || line.text.startsWith(":")) this.groups.look(line, !this.isAnnotated(line));
    this.seek(added);
    const first = this.trim();
    const fresh = [...new Set([...changed, ...added])].filter((line) => line.id >= (first ?? 0)).sort((a, b) => a.id - b.id);
    this.search.extend(fresh);
    const more = fresh.filter((line) => line.id > this.last && this.isShown(line));
    this.last = more.at(-1)?.id ?? this.last;
    this.shown ||= more.some((line) => line.kind !== "note");
    this.list.touch(changed);
    this.list.append(more);
    if (first !== null) {
      this.list.dropBefore(first);
      this.search.dropBefore(first);
      this.groups.dropBefore(first);
    }
    if (this.list.following) this.hasFollowed = true;
    else if (this.hasFollowed) this.unread += more.length;
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
    const { found, current, fault, isOn, isBusy } = this.search;
    const at = current < 0 ? "" : `${count(current + 1)} of `;
    const words = found.length || isBusy ? at + count(found.length) + (isBusy ? "…" : "") : "none";
    the("found").textContent = fault ? "?" : isOn ? words : "";
    the("query").setAttribute("aria-invalid", String(fault !== null));
    for (const id of ["back", "next"]) the<HTMLButtonElement>(id).disabled = !found.length;
    notice("search", fault === null ? null : { tone: "warn", words: [fault] });
  }
}
