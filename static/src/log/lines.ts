// Turns a log's text into lines to show; pure, without the DOM.
//
// Text may set colours and styles, and nothing else: it cannot move a cursor or hide a line. Other escape sequences are removed, control
// characters are shown by name (^G), and after a carriage return the line's latest state is shown.

export type Stream = "stdout" | "stderr";

export interface Line {
  /** Increases by one with each line, over both streams, and never changes. */
  readonly id: number;
  /** The number of the line in its execution's log, from 1, by when its first character was stored. The rest of a split line has the number of
   * that line. Notes of the page itself have 0. Where the beginning of the log was not loaded, numbers are not known, and are negative here. */
  readonly number: number;
  readonly kind: Stream | "note";
  /** When the line's first character came: ISO 8601. */
  readonly time: string;
  /** The text, with style sequences and no others. */
  text: string;
  /** The style sequences in force at its start. */
  style: string;
  /** Whether it goes on in the next one. */
  cut?: boolean;
  /** Whether it is the rest of a line that was cut. */
  readonly rest?: boolean;
}

const MOST_LINES = 200_000;
const MOST_CHARACTERS = 64 * 1024 * 1024;
/** How many lines are dropped at a time. */
const DROP_AT_ONCE = 10_000;
/** Characters in a line; a longer line goes on in the next one. */
export const LONGEST = 4_096;
/** Style sequences that a line may begin with. A log that never resets its style loses the oldest. */
const MOST_STYLES = 12;
/** Characters in an unfinished sequence; anything longer is not a sequence. */
const LONGEST_SEQUENCE = 2_048;

const STYLE = /\x1b\[[0-9;]*m/g;
const SEQUENCE =
  /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[PX^_][^\x1b\n]*\x1b\\|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*\x1b?|[PX^_][^\x1b\n]*\x1b?|[ -/]*)$/;
const SPECIAL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

/** The text of a line as a person reads it. */
export function plain(line: Line): string {
  return line.text.includes("\x1b") ? line.text.replace(STYLE, "") : line.text;
}

/** The text of these lines of the log, each with its line end: of the first without the characters before `begin`, of the last only those
 * before `end`, if given. */
export function textOf(lines: readonly Line[], begin = 0, end?: number): string {
  const texts = lines.map((line, at) => {
    if (line.kind === "note") return "";
    const isCut = at === lines.length - 1 && end !== undefined;
    const text = plain(line).slice(at === 0 ? begin : 0, isCut ? end : undefined);
    return isCut || lines[at + 1]?.number === line.number ? text : `${text}\n`;
  });
  return texts.join("");
}

/** Removes the sequences that must not take effect; keeps style sequences, in their simplest form. */
export function clean(text: string): string {
  return SPECIAL.test(text) ? text.replace(SEQUENCE, replacement) : text;
}

function replacement(found: string, parameters: string | undefined, final: string | undefined): string {
  if (final === "m") return /^[0-9;:]{0,64}$/.test(parameters ?? "") ? styles(parameters ?? "") : "";
  if (found.length > 1) return "";
  const code = found.charCodeAt(0);
  if (code < 0x80) return `^${String.fromCharCode(code ^ 0x40)}`;
  return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
}

/** A style sequence without anything before its last reset, and with colours in the common notation. */
function styles(parameters: string): string {
  let codes: string[] = [];
  const given = parameters.replaceAll(/(^|;)4:\d+/g, "$14").replaceAll(":2::", ":2:").replaceAll(":", ";").split(";");
  for (let at = 0; at < given.length; at++) {
    const code = String(Number(given[at]));
    if (code === "0") {
      codes = ["0"];
    } else if (code === "38" || code === "48" || code === "58") {
      const size = given[at + 1] === "5" ? 3 : given[at + 1] === "2" ? 5 : 1;
      if (code !== "58" && size > 1) codes.push(...given.slice(at, at + size));
      at += size - 1;
    } else {
      codes.push(code);
    }
  }
  return codes[0] === "0" ? `\x1b[0m${codes.length > 1 ? `\x1b[${codes.slice(1).join(";")}m` : ""}` : codes.length ? `\x1b[${codes.join(";")}m` : "";
}

/** The style in force after a text that began with `style`. */
function styleAfter(style: string, text: string): string {
  const found = text.match(STYLE);
  if (!found) return style;
  const all = [...(style.match(STYLE) ?? []), ...found];
  return all.slice(all.lastIndexOf("\x1b[0m") + 1).slice(-MOST_STYLES).join("");
}

/** One stream's text so far. */
interface Tail {
  line: Line | null;
  style: string;
  unfinished: string;
  returned: boolean;
}

/** The effect of more text: new lines, and lines that changed. */
export interface Growth {
  added: Line[];
  changed: Set<Line>;
}

/** The lines that are kept: the newest ones. */
export class Lines {
  all: Line[] = [];
  /** How many lines were dropped to bound memory. */
  dropped = 0;
  private id = 0;
  private number = 0;
  private step: 1 | -1 = 1;
  private characters = 0;
  private tails = this.newTails();

  /** Adds text of a stream that arrived at this time. */
  add(stream: Stream, time: string, text: string, growth: Growth): void {
    const tail = this.tails[stream];
    let more = tail.unfinished + text;
    tail.unfinished = "";
    const rest = UNFINISHED.exec(more.slice(-LONGEST_SEQUENCE));
    if (rest) {
      tail.unfinished = rest[0];
      more = more.slice(0, more.length - rest[0].length);
    }
    const parts = clean(more).split("\n");
    for (let at = 0; at < parts.length; at++) {
      const part = parts[at]!;
      if (part !== "") this.write(tail, stream, time, part, growth);
      if (at < parts.length - 1) {
        if (!tail.line) this.begin(tail, stream, time, growth);
        tail.line = null;
        tail.returned = false;
      }
    }
    this.characters += more.length;
  }

  /** Ends the log: what looked like the beginning of a sequence was text. */
  finish(growth: Growth): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const tail = this.tails[stream];
      if (tail.unfinished) this.write(tail, stream, tail.line?.time ?? "", clean(tail.unfinished), growth);
    }
    this.tails = this.newTails();
  }

  /** Says that what is added next is not the beginning of an execution's log. */
  beginWithin(): void {
    this.step = -1;
  }

  /** Adds a line of the page itself, before the log of an attempt. */
  note(text: string, growth: Growth): void {
    this.finish(growth);
    this.number = 0;
    this.step = 1;
    this.push({ id: this.id++, number: 0, kind: "note", time: "", text, style: "" }, growth);
  }

  /** How many of the oldest lines have to go, because there are too many. */
  get excess(): number {
    if (this.characters > MOST_CHARACTERS && this.count() > MOST_CHARACTERS) return this.all.length >> 1;
    return Math.max(0, Math.floor((this.all.length - MOST_LINES) / DROP_AT_ONCE)) * DROP_AT_ONCE;
  }

  /** Drops this many of the oldest lines; returns the id of the first line left. */
  drop(many: number): number {
    const gone = this.all.splice(0, many);
    this.dropped += gone.length;
    this.count();
    const first = this.all[0]?.id ?? this.id;
    for (const tail of Object.values(this.tails)) if (tail.line && tail.line.id < first) tail.line = null;
    return first;
  }

  /** Recounts the characters: a line that was overwritten many times is short in the end. */
  private count(): number {
    this.characters = this.all.reduce((sum, line) => sum + line.text.length, 0);
    return this.characters;
  }

  private newTails(): Record<Stream, Tail> {
    const tail = () => ({ line: null, style: "", unfinished: "", returned: false });
    return { stdout: tail(), stderr: tail() };
  }

  private push(line: Line, growth: Growth): void {
    this.all.push(line);
    growth.added.push(line);
  }

  private begin(tail: Tail, stream: Stream, time: string, growth: Growth, goesOn = false): Line {
    if (!goesOn) this.number += this.step;
    const number = goesOn ? tail.line!.number : this.number;
    tail.line = { id: this.id++, number, kind: stream, time, text: "", style: tail.style, rest: goesOn };
    this.push(tail.line, growth);
    return tail.line;
  }

  /** Writes text that has no line end. */
  private write(tail: Tail, stream: Stream, time: string, part: string, growth: Growth): void {
    const pieces = part.includes("\r") ? part.split("\r") : [part];
    for (let at = 0; at < pieces.length; at++) {
      if (at > 0) tail.returned = true;
      const piece = pieces[at]!;
      if (piece === "") continue;
      let line = tail.line ?? this.begin(tail, stream, time, growth);
      if (tail.returned && piece.replace(STYLE, "") !== "") {
        line.text = "";
        line.style = tail.style;
        tail.returned = false;
      }
      line.text += piece;
      growth.changed.add(line);
      while (line.text.length > LONGEST) line = this.split(line, tail, stream, time, growth);
      tail.style = styleAfter(tail.style, piece);
    }
  }

  private split(line: Line, tail: Tail, stream: Stream, time: string, growth: Growth): Line {
    let cut = LONGEST;
    const sequence = line.text.lastIndexOf("\x1b", cut);
    if (sequence > 0 && line.text.indexOf("m", sequence) >= cut) cut = sequence;
    else if (/[\ud800-\udbff]/.test(line.text[cut - 1]!)) cut--;
    const rest = line.text.slice(cut);
    line.text = line.text.slice(0, cut);
    line.cut = true;
    const next = this.begin(tail, stream, time, growth, true);
    next.style = styleAfter(line.style, line.text);
    next.text = rest;
    return next;
  }
}
