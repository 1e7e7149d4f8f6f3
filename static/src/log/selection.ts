// The selected part of a log of which only the lines near the view are in the document. A selection is known by the lines and characters at
// its two ends, so that it can be copied whole.

import { type Line, textOf } from "./lines";

/** Lines in the document: an element that has a row for each, or none while it is far from the view. */
export interface Rows {
  readonly element: HTMLElement;
  readonly lines: readonly Line[];
}

/** A place in the shown lines: how many lines are before it, and how many characters of its own line. */
interface Place {
  line: number;
  at: number;
}

/** Selects all lines. */
export function selectAll(content: HTMLElement): void {
  getSelection()?.selectAllChildren(content);
}

/** Whether an end of the selection is in this element. */
export function holdsEnd(element: HTMLElement): boolean {
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && (element.contains(selection.anchorNode) || element.contains(selection.focusNode)));
}

/** The selected text of the log; null when none of it is selected. */
export function selectedText(content: HTMLElement, blocks: readonly Rows[]): string | null {
  const ranges = selectedRanges();
  if (!ranges.some((range) => range.intersectsNode(content))) return null;
  const first = ranges[0]!;
  const last = ranges.at(-1)!;
  const from = placeOf(first.startContainer, first.startOffset, content, blocks);
  const to = placeOf(last.endContainer, last.endOffset, content, blocks);
  const lines = blocks.flatMap((block) => block.lines);
  return to.line < lines.length ? textOf(lines.slice(from.line, to.line + 1), from.at, to.at) : textOf(lines.slice(from.line), from.at);
}

/** The selected text of the page before and after the log, as the browser would copy it. */
export function selectedAround(content: HTMLElement): [string, string] {
  const ranges = selectedRanges();
  const before = ranges[0]!.cloneRange();
  const after = ranges.at(-1)!.cloneRange();
  before.setEndBefore(content); // which leaves nothing of a range that begins in the log
  after.setStartAfter(content);
  return [asCopied(before), asCopied(after)];
}

function asCopied(range: Range): string {
  if (range.collapsed) return "";
  const selection = getSelection()!;
  let text = "";
  keep(() => {
    selection.removeAllRanges();
    selection.addRange(range);
    text = selection.toString();
  });
  return text;
}

/** Does something that changes the browser's selection, and selects again what was selected. */
export function keep(act: () => void): void {
  const selection = getSelection();
  const { anchorNode, anchorOffset, focusNode, focusOffset } = selection ?? {};
  act();
  if (anchorNode && focusNode) selection!.setBaseAndExtent(anchorNode, anchorOffset!, focusNode, focusOffset!);
}

/** Replaces rows, and selects again the text that was selected in them; `show` makes sure that a block has its rows. */
export function keepInRows<B extends Rows>(content: HTMLElement, blocks: readonly B[], show: (block: B) => void, act: () => void): void {
  const selection = getSelection();
  if (!selection || !holdsEnd(content)) return act();
  const ends = (): [Node, number][] => [
    [selection.anchorNode!, selection.anchorOffset],
    [selection.focusNode!, selection.focusOffset],
  ];
  const before = ends();
  const places = before.map(([node, offset]) => placeOf(node, offset, content, blocks));
  act();
  const moved = ends().map(([node, offset], at) => node !== before[at]![0] || offset !== before[at]![1]);
  if (!moved.includes(true)) return;
  const [anchor, focus] = before.map((point, at) => (moved[at] ? pointOf(places[at]!, content, blocks, show) : point));
  selection.setBaseAndExtent(...anchor!, ...focus!);
}

/** Firefox has several ranges when a part of what is between the ends cannot be selected. */
function selectedRanges(): Range[] {
  const selection = getSelection();
  if (!selection || selection.isCollapsed) return [];
  return Array.from({ length: selection.rangeCount }, (_, at) => selection.getRangeAt(at));
}

/** The place of a point of the document. One before the lines is at their beginning, and one after them at their end. */
function placeOf(node: Node, offset: number, content: HTMLElement, blocks: readonly Rows[]): Place {
  const count = (end: number) => blocks.slice(0, end).reduce((sum, block) => sum + block.lines.length, 0);
  if (node === content) return { line: count(offset), at: 0 };
  const number = blocks.findIndex((block) => block.element.contains(node));
  if (number < 0) {
    const isAfter = node.contains(content) ? [...node.childNodes].findIndex((child) => child.contains(content)) < offset : follows(node, content);
    return { line: isAfter ? count(blocks.length) : 0, at: 0 };
  }
  const { element } = blocks[number]!;
  if (node === element) return { line: count(number) + offset, at: 0 };
  const row = [...element.children].findIndex((child) => child.contains(node));
  return { line: count(number) + row, at: charactersBefore(node, offset, element.children[row]!.querySelector(".text")) };
}

function follows(node: Node, content: HTMLElement): boolean {
  return Boolean(content.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING);
}

function charactersBefore(node: Node, offset: number, text: Element | null): number {
  if (!text) return 0;
  const range = new Range();
  range.selectNodeContents(text);
  const side = range.comparePoint(node, offset);
  if (side < 0) return 0;
  if (side === 0) range.setEnd(node, offset);
  return range.toString().length;
}

function pointOf<B extends Rows>(place: Place, content: HTMLElement, blocks: readonly B[], show: (block: B) => void): [Node, number] {
  let row = place.line;
  for (const block of blocks) {
    if (row >= block.lines.length) {
      row -= block.lines.length;
      continue;
    }
    show(block);
    const text = block.element.children[row]?.querySelector(".text");
    return text ? pointIn(text, place.at) : [block.element, row];
  }
  return [content, content.childNodes.length];
}

function pointIn(text: Element, at: number): [Node, number] {
  const walk = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode() as Text | null; node; node = walk.nextNode() as Text | null) {
    if (at <= node.length) return [node, at];
    at -= node.length;
  }
  return [text, text.childNodes.length];
}
