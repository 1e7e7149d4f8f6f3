// A list that keeps only the lines near the view in the document. Lines are in blocks, and a block far away is one empty element with the
// real or estimated height. What a person looks at stays in place when an estimate turns out to be wrong.

import type { Line } from "./lines";
import { holdsEnd, keepInRows, selectAll, selectedText } from "./selection";

const BLOCK = 100;
/** Pixels above and below the view within which blocks are filled (NEAR), and beyond which they are emptied (FAR). */
const NEAR = 800;
const FAR = 4_000;
const UP = new Set(["ArrowUp", "PageUp", "Home"]);
/** Pixels from the end within which scrolling down starts following. */
const CLOSE = 12;

interface Block {
  readonly element: HTMLElement;
  readonly lines: Line[];
  filled: boolean;
  stale: boolean;
}

export interface ListOptions {
  /** Makes the element of a line. */
  render(line: Line): HTMLElement;
  /** Called when following the end starts or stops. */
  onFollow(following: boolean): void;
  /** Called after the elements in the document have changed. */
  onDraw(): void;
}

export class LineList {
  following = true;
  private blocks: Block[] = [];
  private rows = new Map<Line, HTMLElement>();
  private touched = new Set<Line>();
  private expected = 0;
  private frame = 0;
  private wrapped = false;
  private columns = 80;
  private rowHeight = 20;
  /** Digits for which the column of line numbers has room. */
  private digits = 4;

  constructor(
    private readonly scroller: HTMLElement,
    private readonly content: HTMLElement,
    private readonly options: ListOptions,
  ) {
    scroller.addEventListener("scroll", () => this.onScroll(), { passive: true });
    // A gentle scroll starts with a fraction of a pixel, so these count before anything has moved.
    scroller.addEventListener("wheel", (event) => !event.ctrlKey && this.onTurn(event.deltaY), { passive: true });
    scroller.addEventListener("keydown", (event) => UP.has(event.key) && this.onTurn(-1));
    this.pauseOnSelection();
    new ResizeObserver(() => this.measure()).observe(scroller);
  }

  /** Adds lines at the end. */
  append(lines: readonly Line[]): void {
    this.widen(lines);
    for (const line of lines) {
      let block = this.blocks.at(-1);
      if (!block || block.lines.length >= BLOCK) {
        block = { element: document.createElement("div"), lines: [], filled: false, stale: true };
        block.element.className = "block";
        this.blocks.push(block);
        this.content.append(block.element);
      }
      block.lines.push(line);
      if (block.filled) block.element.append(this.row(line));
      else block.stale = true;
    }
    this.draw();
  }

  /** Redraws these lines, whose text has changed. */
  touch(lines: Iterable<Line>): void {
    for (const line of lines) if (this.rows.has(line)) this.touched.add(line);
    this.draw();
  }

  /** Drops the whole blocks before this line. */
  dropBefore(id: number): void {
    let count = 0;
    while (count < this.blocks.length && this.blocks[count]!.lines.at(-1)!.id < id) count++;
    for (const block of this.blocks.splice(0, count)) {
      this.empty(block);
      block.element.remove();
    }
    this.draw();
  }

  /** Replaces all lines. */
  reset(lines: readonly Line[]): void {
    this.blocks = [];
    this.rows.clear();
    this.touched.clear();
    this.content.replaceChildren();
    this.append(lines);
  }

  /** Redraws everything in place. */
  restyle(): void {
    this.keepSelection(() => {
      for (const block of this.blocks) this.empty(block);
    });
    this.draw();
  }

  wrap(on: boolean): void {
    this.wrapped = on;
    this.scroller.classList.toggle("wrapped", on);
    this.measure();
  }

  /** Shows the time of each line. */
  time(on: boolean): void {
    this.scroller.classList.toggle("timed", on);
    this.measure();
  }

  follow(on: boolean): void {
    if (this.following !== on) {
      this.following = on;
      this.options.onFollow(on);
    }
    this.draw();
  }

  /** Whether the end is in view, or nearly. */
  get atEnd(): boolean {
    return this.below < CLOSE;
  }

  /** How far a line in the document is below the top of the view, in pixels. */
  placeOf(line: Line): number | null {
    const row = this.rows.get(line);
    return row ? row.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top : null;
  }

  /** The element of a line, if it is in the document. */
  elementOf(line: Line): HTMLElement | undefined {
    return this.rows.get(line);
  }

  /** Scrolls a line to the middle of the view; or to this place below its top. */
  show(line: Line, place: number | null = null): void {
    this.follow(false);
    const block = this.blocks.find((one) => one.lines.at(-1)!.id >= line.id);
    if (!block) return;
    this.fill(block);
    const row = this.rows.get(line);
    row?.scrollIntoView({ block: "center", inline: "nearest" });
    if (place !== null) this.scroller.scrollTop += (this.placeOf(line) ?? place) - place;
    this.expected = this.scroller.scrollTop;
    this.draw();
  }

  /** Selects all lines, whether they are in the document or not. */
  selectAll(): void {
    this.follow(false);
    selectAll(this.content);
  }

  /** The selected text, whether its lines are in the document or not; null when no line is selected. */
  selected(): string | null {
    return selectedText(this.content, this.blocks);
  }

  isDrawn(line: Line): boolean {
    return this.rows.has(line);
  }

  /** The lines in the document now, and their elements. */
  drawn(): Iterable<[Line, HTMLElement]> {
    return this.rows;
  }

  private draw(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.update();
    });
  }

  private onScroll(): void {
    const moved = this.scroller.scrollTop - this.expected;
    // The browser itself moves up when the lines get shorter or the view gets higher: to the very end.
    if (moved < -0.5 && this.below >= 1) this.follow(false);
    else if (moved > 0.5 && this.atEnd) this.follow(true);
    this.expected = this.scroller.scrollTop;
    this.draw();
  }

  /** A turn of the wheel, or a key: negative for up. */
  private onTurn(by: number): void {
    if (by < 0 && this.scroller.scrollTop > 0) this.follow(false);
    else if (by > 0 && this.atEnd) this.follow(true);
  }

  /** Stops following when a person begins to select text. Following again lasts, although the text is still selected. */
  private pauseOnSelection(): void {
    let begun = false;
    this.content.addEventListener("selectstart", () => (begun = true));
    document.addEventListener("selectionchange", () => {
      if (!begun || getSelection()?.isCollapsed !== false) return;
      begun = false;
      this.follow(false);
    });
  }

  /** Pixels between the bottom of the view and the end. */
  private get below(): number {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  private update(): void {
    const anchor = this.following ? null : this.anchor();
    if (this.touched.size) {
      this.keepSelection(() => {
        for (const line of this.touched) this.replace(line);
      });
      this.touched.clear();
    }
    for (const block of this.blocks) if (block.stale && !block.filled) this.estimate(block);
    // Filling changes heights, and so which blocks are near: a few rounds settle that.
    for (let round = 0; round < 4; round++) {
      this.hold(anchor);
      if (!this.fillNear()) break;
    }
    this.hold(anchor);
    this.emptyFar();
    this.hold(anchor);
    this.options.onDraw();
  }

  /** The first line in view. */
  get firstInView(): Line | null {
    return this.anchor()?.line ?? null;
  }

  /** The first line in view, and how far below the top of the view it begins. */
  private anchor(): { line: Line; row: HTMLElement; top: number } | null {
    const block = this.blocks[this.at(this.scroller.scrollTop)];
    if (!block?.filled) return null;
    const top = this.scroller.getBoundingClientRect().top;
    for (const line of block.lines) {
      const row = this.rows.get(line);
      const place = row?.getBoundingClientRect();
      if (row && place && place.bottom > top) return { line, row, top: place.top - top };
    }
    return null;
  }

  private hold(anchor: { row: HTMLElement; top: number } | null): void {
    if (this.following) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
    } else if (anchor?.row.isConnected) {
      const moved = anchor.row.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top - anchor.top;
      if (Math.abs(moved) >= 1) this.scroller.scrollTop += moved;
    }
    this.expected = this.scroller.scrollTop;
  }

  /** The index of the block at this height. */
  private at(y: number): number {
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.blocks[middle]!.element.offsetTop <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private fillNear(): boolean {
    const { scrollTop, clientHeight } = this.scroller;
    let changed = false;
    for (let at = this.at(scrollTop - NEAR); at < this.blocks.length; at++) {
      const block = this.blocks[at]!;
      if (block.element.offsetTop > scrollTop + clientHeight + NEAR) break;
      if (!block.filled) changed = this.fill(block);
    }
    return changed;
  }

  private emptyFar(): void {
    const { scrollTop, clientHeight } = this.scroller;
    for (const block of this.blocks) {
      if (!block.filled) continue;
      const top = block.element.offsetTop;
      const height = block.element.offsetHeight;
      if (top + height > scrollTop - FAR && top < scrollTop + clientHeight + FAR) continue;
      if (holdsEnd(block.element)) continue;
      this.empty(block);
      block.stale = false;
      block.element.style.height = `${height}px`;
    }
  }

  private fill(block: Block): boolean {
    if (block.filled) return false;
    block.filled = true;
    block.element.style.height = "";
    block.element.append(...block.lines.map((line) => this.row(line)));
    return true;
  }

  private empty(block: Block): void {
    if (!block.filled) return;
    block.filled = false;
    block.stale = true;
    block.element.replaceChildren();
    for (const line of block.lines) this.rows.delete(line);
  }

  /** Changes rows, and selects again what was selected in them. */
  private keepSelection(act: () => void): void {
    keepInRows(this.content, this.blocks, (block) => this.fill(block), act);
  }

  private row(line: Line): HTMLElement {
    const row = this.options.render(line);
    this.rows.set(line, row);
    return row;
  }

  private replace(line: Line): void {
    const row = this.rows.get(line);
    if (row) row.replaceWith(this.row(line));
  }

  private estimate(block: Block): void {
    block.stale = false;
    let rows = block.lines.length;
    if (this.wrapped) rows = block.lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.text.length / this.columns)), 0);
    block.element.style.height = `${rows * this.rowHeight}px`;
  }

  /** Makes room for the numbers of these lines. */
  private widen(lines: readonly Line[]): void {
    const { length } = String(lines.reduce((most, line) => Math.max(most, line.number), 0));
    if (length <= this.digits) return;
    this.digits = length;
    this.scroller.style.setProperty("--digits", String(length));
    this.measure();
  }

  /** Measures again after the size of the view or the layout of lines has changed. */
  private measure(): void {
    if (this.following) this.hold(null);
    const style = getComputedStyle(this.scroller);
    this.rowHeight = parseFloat(style.lineHeight) || 20;
    const gutter = (parseFloat(style.getPropertyValue("--gutter")) || 5) + this.digits;
    this.columns = Math.max(10, Math.floor(this.scroller.clientWidth / (parseFloat(style.fontSize) * 0.6) - gutter));
    for (const block of this.blocks) if (!block.filled) block.stale = true;
    this.draw();
  }
}
