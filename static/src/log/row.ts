// The element of a line. Text is inserted as text. Colours are set through the style object, which a strict content security policy allows.

import { createAnsiSequenceParser } from "ansi-sequence-parser";
import type { Colours } from "./colours";
import { el } from "../dom";
import type { Line } from "./lines";
import { stamp } from "../words";

const STYLED = ["bold", "italic", "underline", "strikethrough", "overline"] as const;

export function row(line: Line, colours: Colours): HTMLElement {
  const text = el("span", { className: "text" });
  if (line.style || line.text.includes("\x1b")) styled(text, line, colours);
  else text.textContent = line.text;
  return el(
    "div",
    { className: `row ${line.kind}` },
    el("span", { className: "no", "data-no": line.number }),
    el("span", { className: "time", "data-time": line.time && stamp(line.time) }),
    el("span", { className: "from" }),
    text,
  );
}

function styled(text: HTMLElement, line: Line, colours: Colours): void {
  for (const token of createAnsiSequenceParser().parse(line.style + line.text)) {
    const look = colours.look(token);
    const classes = STYLED.filter((name) => token.decorations.has(name));
    if (!look.color && !look.background && !classes.length) {
      text.append(token.value);
      continue;
    }
    const piece = el("span", { className: classes.join(" ") }, token.value);
    if (look.color) piece.style.color = look.color;
    if (look.background) piece.style.backgroundColor = look.background;
    text.append(piece);
  }
}
