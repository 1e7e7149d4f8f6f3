// Reads and writes JSON without losing anything: numbers keep their digits, fields their order and names; and faults have their line.

/** A number as it was written. One of JavaScript has 53 bits, the API's have 64. */
export class Num {
  constructor(readonly source: string) {}
}

export type Json = null | boolean | string | Num | Json[] | Fields;
export type Fields = Map<string, Json>;

/** Why a text is not JSON. `at`: where, in characters from its start. */
export class JsonFault extends Error {
  readonly line: number;

  constructor(
    words: string,
    text: string,
    readonly at: number,
  ) {
    const before = text.slice(0, at).split("\n");
    super(`Line ${before.length}, column ${before.at(-1)!.length + 1}: ${words}`);
    this.line = before.length;
  }
}

const DEEPEST = 100;
const SPACE = /[ \t\r\n]*/y;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /[A-Za-z]+/y;
const WORDS: Record<string, Json> = { true: true, false: false, null: null };

/** Reads an object. `places`: where each value begins, by its path (`webhooks.fails.0.url`). Throws a JsonFault. */
export function parse(text: string): { value: Fields; places: Map<string, number> } {
  const reader = new Reader(text);
  return { value: reader.document(), places: reader.places };
}

class Reader {
  readonly places = new Map<string, number>();
  private at = 0;

  constructor(private readonly text: string) {}

  document(): Fields {
    const value = this.value([]);
    if (!(value instanceof Map)) throw new JsonFault("a job is an object: { … }", this.text, 0);
    this.skip();
    if (this.at < this.text.length) this.fail("something follows the end of the object");
    return value;
  }

  private value(path: readonly string[]): Json {
    this.skip();
    this.places.set(path.join("."), this.at);
    if (path.length > DEEPEST) this.fail("this is nested too deep");
    if (this.taken("{")) return this.object(path);
    if (this.taken("[")) return this.list(path);
    if (this.text[this.at] === '"') return this.string();
    const number = this.match(NUMBER);
    if (number) return new Num(number);
    const begin = this.at;
    const word = this.match(WORD);
    if (word && Object.hasOwn(WORDS, word)) return WORDS[word]!;
    this.at = begin;
    return this.fail(word ? `${word} is not a value; text stands in double quotes` : "a value is missing");
  }

  private object(path: readonly string[]): Fields {
    const found: Fields = new Map();
    this.skip();
    if (this.taken("}")) return found;
    do {
      this.skip();
      if (this.text[this.at] !== '"') this.fail("the name of a field is missing, in double quotes");
      const begin = this.at;
      const name = this.string();
      if (found.has(name)) {
        this.at = begin;
        this.fail(`the field ${JSON.stringify(name)} is there twice`);
      }
      this.skip();
      if (!this.taken(":")) this.fail("a colon is missing after the name of the field");
      found.set(name, this.value([...path, name]));
      this.skip();
    } while (this.taken(","));
    if (!this.taken("}")) this.fail("a comma or } is missing");
    return found;
  }

  private list(path: readonly string[]): Json[] {
    const found: Json[] = [];
    this.skip();
    if (this.taken("]")) return found;
    do {
      found.push(this.value([...path, String(found.length)]));
      this.skip();
    } while (this.taken(","));
    if (!this.taken("]")) this.fail("a comma or ] is missing");
    return found;
  }

  private string(): string {
    const found = this.match(STRING);
    return found ? (JSON.parse(found) as string) : this.fail("this text is not closed on its line, or has a \\ before a character that needs none");
  }

  private skip(): void {
    this.match(SPACE);
  }

  private taken(character: string): boolean {
    const is = this.text[this.at] === character;
    if (is) this.at++;
    return is;
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at += found[0].length;
    return found && found[0];
  }

  private fail(words: string): never {
    throw new JsonFault(words, this.text, this.at);
  }
}

/** Characters that are not seen, or that change the order of others. */
const UNSEEN = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const text = (value: string): string =>
  JSON.stringify(value).replaceAll(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Writes a value on one line. */
export function compact(value: Json): string {
  if (value instanceof Map) return `{${[...value].map(([name, one]) => `${text(name)}: ${compact(one)}`).join(", ")}}`;
  return Array.isArray(value) ? `[${value.map(compact).join(", ")}]` : scalar(value);
}

/** Writes a value on several lines. */
export function pretty(value: Json, indent = ""): string {
  const inner = `${indent}  `;
  if (value instanceof Map && value.size) {
    return `{\n${[...value].map(([name, one]) => `${inner}${text(name)}: ${pretty(one, inner)}`).join(",\n")}\n${indent}}`;
  }
  if (Array.isArray(value) && value.some((one) => one instanceof Map || Array.isArray(one))) {
    return `[\n${value.map((one) => inner + pretty(one, inner)).join(",\n")}\n${indent}]`;
  }
  return compact(value);
}

function scalar(value: null | boolean | string | Num): string {
  if (value instanceof Num) return value.source;
  return typeof value === "string" ? text(value) : String(value);
}
