// The element of a line. Text is inserted as text. Colours are set through the style object, which a strict content security policy allows.

import { createAnsiSequenceParser } from "ansi-sequence-parser";
import type { Colours } from "./colours";
import type { Command } from "./commands";
import { el } from "../dom";
import { type Line, plain } from "./lines";
import { type Url, urlsIn } from "./urls";
import { moment, stamp } from "../words";

const STYLED = ["bold", "italic", "underline", "strikethrough", "overline"] as const;

/** `command`: what the line says; null: it is only text. */
export function row(line: Line, colours: Colours, command: Command | null = null): HTMLElement {
  const text = el("span", { className: "text" });
  const plainText = plain(line);
  const urls = line.kind === "note" ? [] : urlsIn(plainText, line.cut);
  if (line.style || line.text.includes("\x1b")) fill(text, pieces(line, colours), urls);
  else if (urls.length) fill(text, [[plainText, null]], urls);
  else text.textContent = line.text;
  if (command) label(text, command);
  return el(
    "div",
    { className: `row ${line.kind}${command ? ` says says-${command.kind}` : ""}` },
    el("span", { className: "no", "data-no": line.number > 0 ? line.number : "" }),
    el("span", { className: "time", "data-time": line.time && stamp(line.time), title: line.time && moment(line.time) }),
    el("span", { className: "from" }),
    text,
  );
}

/** Hides what stands before the words, which stay in the document: places in the text are counted with it. */
function label(text: HTMLElement, { prefix, label }: Command): void {
  text.dataset.label = label;
  const walk = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  const nodes: Text[] = [];
  while (walk.nextNode()) nodes.push(walk.currentNode as Text);
  let left = prefix;
  for (const node of nodes) {
    if (!left) return;
    if (node.length > left) node.splitText(left);
    left -= node.length;
    const hidden = el("span", { className: "said" });
    node.replaceWith(hidden);
    hidden.append(node);
  }
}

/** A piece of text, and how it looks. */
type Piece = readonly [string, ((element: HTMLElement) => void) | null];

function pieces(line: Line, colours: Colours): Piece[] {
  return createAnsiSequenceParser()
    .parse(line.style + line.text)
    .map((token) => {
      const look = colours.look(token);
      const classes = STYLED.filter((name) => token.decorations.has(name));
      if (!look.color && !look.background && !classes.length) return [token.value, null];
      const style = (piece: HTMLElement): void => {
        piece.className = classes.join(" ");
        if (look.color) piece.style.color = look.color;
        if (look.background) piece.style.backgroundColor = look.background;
      };
      return [token.value, style];
    });
}

/** Puts the pieces into the element; those that are part of an address into a link, with their looks. */
function fill(text: HTMLElement, all: readonly Piece[], urls: readonly Url[]): void {
  const left = [...urls];
  let at = 0;
  let link: HTMLElement | null = null;
  for (const [whole, style] of all) {
    for (let rest = whole; rest; ) {
      while (left.length && left[0]!.end <= at) {
        left.shift();
        link = null;
      }
      const url = left[0];
      const inside = url && url.begin <= at;
      const end = url ? (inside ? url.end : url.begin) : Infinity;
      const part = rest.slice(0, end - at);
      if (inside) link ??= text.appendChild(linkTo(url));
      (inside ? link! : text).append(styled(part, style));
      at += part.length;
      rest = rest.slice(part.length);
    }
  }
}

function styled(part: string, style: Piece[1]): Node | string {
  if (!style) return part;
  const piece = el("span", {}, part);
  style(piece);
  return piece;
}

/** Text can be selected from inside of it; what it leads to learns nothing of this page. */
const linkTo = ({ href }: Url): HTMLElement =>
  el("a", { href, target: "_blank", rel: "noopener noreferrer", draggable: false });
