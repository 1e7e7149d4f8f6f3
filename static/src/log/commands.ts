// The lines of a log by which a job says something, in the form of GitHub Actions: annotations (::error::words) and groups. Pure.

import { type Line, plain } from "./lines";

const FORM = /^::(notice|warning|error|group|endgroup)(?: (.*?))?::/;
const NAMES = { notice: "Notice", warning: "Warning", error: "Error", group: "", endgroup: "End of the group" } as const;

export interface Command {
  readonly kind: keyof typeof NAMES;
  /** How many characters of the line stand before the words. */
  readonly prefix: number;
  /** What stands in place of them. */
  readonly label: string;
}

/** What a line says; null for one that is only text. */
export function commandOf(line: Line): Command | null {
  if (!line.text.startsWith("::") || line.rest || line.kind === "note") return null;
  const found = FORM.exec(plain(line));
  if (!found) return null;
  const kind = found[1] as keyof typeof NAMES;
  return { kind, prefix: found[0].length, label: label(kind, found[2] ?? "") };
}

/** An annotation's name, with its title and place in the source, if it has them. */
function label(kind: keyof typeof NAMES, attributes: string): string {
  if (kind === "group" || kind === "endgroup") return NAMES[kind];
  const given = new Map(attributes.split(",").map((one): [string, string] => [one.replace(/=.*/, "").trim(), decoded(one.replace(/^[^=]*=?/, ""))]));
  const file = given.get("file");
  const at = file && (given.get("line") ? `${file}:${given.get("line")}` : file);
  return `${[NAMES[kind], given.get("title"), at && `(${at})`].filter(Boolean).join(" ")}: `;
}

const decoded = (text: string): string => text.replaceAll(/%(0A|0D|2C|3A|25)/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16))).replaceAll(/\s/g, " ");

/** Where a group begins (`opens`), or ends. */
interface Mark {
  readonly id: number;
  readonly opens: boolean;
}

/** The groups of a log, and which of them are folded. Each goes to the next one, to its end, or to the end of the attempt's log. */
export class Groups {
  /** In the order of their lines. */
  private marks: Mark[] = [];
  private folded = new Set<number>();

  /** Looks at a line that is new or has changed. `isText`: it says nothing. */
  look(line: Line, isText: boolean): void {
    const kind = isText ? null : commandOf(line)?.kind;
    const opens = kind === "group" ? true : line.kind === "note" || kind === "endgroup" ? false : null;
    const at = this.before(line.id) + 1;
    const known = this.marks[at]?.id === line.id ? 1 : 0;
    if (known || opens !== null) this.marks.splice(at, known, ...(opens === null ? [] : [{ id: line.id, opens }]));
  }

  /** Whether there is any group. */
  get any(): boolean {
    return this.marks.some(({ opens }) => opens);
  }

  get areFolded(): boolean {
    return this.folded.size > 0;
  }

  /** Whether a line that begins a group is folded. */
  isFolded({ id }: Line): boolean {
    return this.folded.has(id);
  }

  /** Whether a line is in a folded group. */
  hides(line: Line): boolean {
    return this.folded.size > 0 && this.folded.has(this.of(line) ?? -1);
  }

  toggle({ id }: Line): void {
    if (!this.folded.delete(id)) this.folded.add(id);
  }

  /** Folds all groups, or opens them. */
  fold(all: boolean): void {
    this.folded = new Set(all ? this.marks.filter(({ opens }) => opens).map(({ id }) => id) : []);
  }

  /** Opens the group of a line; whether it was folded. */
  open(line: Line): boolean {
    return this.folded.delete(this.of(line) ?? -1);
  }

  /** Drops what is before this line. The rest of a group that began there is no group. */
  dropBefore(id: number): void {
    for (const mark of this.marks.splice(0, this.before(id) + 1)) this.folded.delete(mark.id);
  }

  /** The id of the line with which the group of a line begins. A line that begins one is in none. */
  private of(line: Line): number | null {
    const at = this.before(line.id);
    const mark = this.marks[at];
    const begins = this.marks[at + 1];
    return mark?.opens && !(begins?.id === line.id && begins.opens) ? mark.id : null;
  }

  /** The place of the last mark before this line; -1 for none. */
  private before(id: number): number {
    let low = -1;
    let high = this.marks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.marks[middle]!.id < id) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
