// Regular expressions whose search takes a time in proportion to the text, whatever they are: all ways through an expression are followed at
// once (Thompson's construction, as in RE2), where a browser's own engine would try one after the other, and could try for hours. So there
// are no references to groups, and nothing looks ahead or behind. Pure.

/** What is wrong with an expression, in words. */
export class BadPattern extends Error {}

type Test = (code: number) => boolean;

type Instruction =
  | { op: "one"; test: Test }
  | { op: "split"; first: number; second: number }
  | { op: "jump"; to: number }
  | { op: "assert"; holds(text: string, at: number): boolean }
  | { op: "match" };

/** Instructions that an expression may have, which bounds the time for a character. */
const MOST = 1_000;
const REPEATS = 200;
/** Atoms that are read at most: each time that it is repeated, an atom is read again. */
const MOST_ATOMS = 5_000;

const between =
  (low: number, high: number): Test =>
  (code) =>
    code >= low && code <= high;
const any: Test = (code) => code !== 10;
const digit = between(48, 57);
const word: Test = (code) => digit(code) || between(65, 90)(code) || between(97, 122)(code) || code === 95;
const space: Test = (code) => /\s/.test(String.fromCodePoint(code));
/** The same test, with its answers about ASCII in a table. */
function quick(test: Test): Test {
  const known = Array.from({ length: 128 }, (_, code) => test(code));
  return (code) => (code < 128 ? known[code]! : test(code));
}
const not =
  (test: Test): Test =>
  (code) =>
    !test(code);
const CLASSES: Record<string, Test> = { d: digit, D: not(digit), w: word, W: not(word), s: space, S: not(space) };
const CONTROLS: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };
const TOO_LONG = "The expression is too long.";
const UNKNOWN = "A search knows no references to groups, no looking ahead or behind, and no \\p{…}.";

const isWordAt = (text: string, at: number): boolean => at >= 0 && at < text.length && word(text.charCodeAt(at));
const isEdge = (text: string, at: number): boolean => isWordAt(text, at - 1) !== isWordAt(text, at);

/** Reads an expression into a program. Throws BadPattern. */
class Compiler {
  private at = 0;
  private program: Instruction[] = [];
  private depth = 0;
  private atoms = 0;

  constructor(
    private readonly source: string,
    private readonly exact: boolean,
  ) {}

  compile(): Instruction[] {
    this.choice();
    if (this.at < this.source.length) throw new BadPattern(`There is no ( for the ) at character ${this.at + 1}.`);
    this.emit({ op: "match" });
    return this.program;
  }

  private emit(instruction: Instruction): number {
    if (this.program.length >= MOST) throw new BadPattern(TOO_LONG);
    return this.program.push(instruction) - 1;
  }

  private choice(): void {
    const begin = this.program.length;
    this.sequence();
    while (this.source[this.at] === "|") {
      this.at++;
      this.insert(begin, { op: "split", first: begin + 1, second: this.program.length + 2 });
      const jump = this.emit({ op: "jump", to: 0 });
      // What follows is one more choice, to which the inserted instruction leads.
      this.choice();
      this.program[jump] = { op: "jump", to: this.program.length };
    }
  }

  private sequence(): void {
    for (let next = this.source[this.at]; next !== undefined && next !== "|" && next !== ")"; next = this.source[this.at]) this.repeated();
  }

  /** Puts an instruction before others, whose targets move. */
  private insert(at: number, instruction: Instruction): void {
    const moved = (to: number): number => (to >= at ? to + 1 : to);
    const rest = this.program.splice(at).map((one): Instruction => {
      if (one.op === "jump") return { op: "jump", to: moved(one.to) };
      return one.op === "split" ? { op: "split", first: moved(one.first), second: moved(one.second) } : one;
    });
    this.emit(instruction);
    for (const one of rest) this.emit(one);
  }

  private repeated(): void {
    const from = this.at;
    const begin = this.program.length;
    this.atom();
    const counts = this.counts();
    if (!counts) return;
    const [least, most] = counts;
    const lazy = this.source[this.at] === "?";
    if (lazy) this.at++;
    if (/^[*+?]|^\{\d/.test(this.source.slice(this.at))) throw new BadPattern(`There is nothing to repeat at character ${this.at + 1}.`);
    const end = this.at;
    const again = (): void => {
      this.at = from;
      this.atom();
      this.at = end;
    };
    const split = (enter: number, leave: number): Instruction =>
      lazy ? { op: "split", first: leave, second: enter } : { op: "split", first: enter, second: leave };
    this.program.length = begin;
    for (let count = 0; count < least; count++) again();
    if (most === Infinity) {
      const loop = this.emit({ op: "match" });
      again();
      this.emit({ op: "jump", to: loop });
      this.program[loop] = split(loop + 1, this.program.length);
      return;
    }
    const leaves: number[] = [];
    for (let count = least; count < most; count++) {
      leaves.push(this.emit({ op: "match" }));
      again();
    }
    for (const leave of leaves) this.program[leave] = split(leave + 1, this.program.length);
  }

  /** How often the atom before is repeated; null: once. */
  private counts(): [number, number] | null {
    const match = /^(?:[*+?]|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})/.exec(this.source.slice(this.at, this.at + 12));
    if (!match) return null;
    this.at += match[0].length;
    if (match[0] === "*") return [0, Infinity];
    if (match[0] === "+") return [1, Infinity];
    if (match[0] === "?") return [0, 1];
    const least = Number(match[1]);
    const most = match[3] !== undefined ? Number(match[3]) : match[2] ? Infinity : least;
    if (least > most) throw new BadPattern(`${match[0]} has its numbers in the wrong order.`);
    if (least > REPEATS || (most !== Infinity && most > REPEATS)) throw new BadPattern(`${match[0]} is too often: ${REPEATS} times at most.`);
    return [least, most];
  }

  private atom(): void {
    if (++this.atoms > MOST_ATOMS) throw new BadPattern(TOO_LONG);
    const from = this.at;
    const next = this.source[this.at++]!;
    if (next === "(") return this.group(from);
    if (next === "[") return this.one(this.set(from));
    if (next === ".") return this.one(any);
    if (next === "^") return void this.emit({ op: "assert", holds: (_, at) => at === 0 });
    if (next === "$") return void this.emit({ op: "assert", holds: (text, at) => at === text.length });
    if (next === "\\") return this.escaped();
    if (/[*+?]/.test(next)) throw new BadPattern(`There is nothing to repeat at character ${this.at}.`);
    this.at = from;
    this.one(this.literal(this.character()));
  }

  private group(from: number): void {
    if (++this.depth > 50) throw new BadPattern("The expression has too many groups in each other.");
    const head = /^\?(?::|<[A-Za-z_]\w*>)/.exec(this.source.slice(this.at));
    if (head) this.at += head[0].length;
    else if (this.source[this.at] === "?") throw new BadPattern(UNKNOWN);
    this.choice();
    if (this.source[this.at] !== ")") throw new BadPattern(`There is no ) for the ( at character ${from + 1}.`);
    this.at++;
    this.depth--;
  }

  private escaped(): void {
    const next = this.source[this.at];
    if (next === "b" || next === "B") {
      this.at++;
      const wanted = next === "b";
      this.emit({ op: "assert", holds: (text, at) => isEdge(text, at) === wanted });
      return;
    }
    this.one(this.escape());
  }

  /** What follows a backslash: a class, or one character. */
  private escape(): Test {
    const next = this.source[this.at];
    if (next === undefined) throw new BadPattern("A \\ at the end has nothing after it.");
    if (/[1-9kpP]/.test(next)) throw new BadPattern(UNKNOWN);
    const known = CLASSES[next];
    if (known) {
      this.at++;
      return known;
    }
    return this.literal(this.escapedCode());
  }

  private escapedCode(): number {
    const next = this.source[this.at]!;
    const hex = /^(?:x([\da-f]{2})|u([\da-f]{4})|u\{([\da-f]{1,6})\})/i.exec(this.source.slice(this.at));
    if (hex) {
      this.at += hex[0].length;
      return Math.min(0x10ffff, parseInt(hex[1] ?? hex[2] ?? hex[3]!, 16));
    }
    const control = CONTROLS[next];
    if (control === undefined) return this.character();
    this.at++;
    return control;
  }

  private character(): number {
    const code = this.source.codePointAt(this.at)!;
    this.at += code > 0xffff ? 2 : 1;
    return code;
  }

  /** A class in brackets. */
  private set(from: number): Test {
    const tests: Test[] = [];
    const isNot = this.source[this.at] === "^";
    if (isNot) this.at++;
    for (let first = true; ; first = false) {
      const next = this.source[this.at];
      if (next === undefined) throw new BadPattern(`There is no ] for the [ at character ${from + 1}.`);
      if (next === "]" && !first) break;
      tests.push(this.member());
    }
    this.at++;
    const some: Test = (code) => tests.some((test) => test(code));
    const folded: Test = this.exact ? some : (code) => variants(code).some(some);
    return isNot ? not(folded) : folded;
  }

  /** A character, a range or a class inside of brackets. */
  private member(): Test {
    const low = this.memberCode();
    if (typeof low !== "number") return low;
    if (this.source[this.at] !== "-" || this.source[this.at + 1] === "]" || this.source[this.at + 1] === undefined) return (code) => code === low;
    this.at++;
    const high = this.memberCode();
    if (typeof high !== "number") return (code) => code === low || code === 45 || high(code);
    if (high < low) throw new BadPattern("A range in brackets is in the wrong order.");
    return between(low, high);
  }

  private memberCode(): number | Test {
    if (this.source[this.at] !== "\\") return this.character();
    this.at++;
    const next = this.source[this.at];
    if (next === undefined) throw new BadPattern("A \\ at the end has nothing after it.");
    const known = CLASSES[next];
    if (known) {
      this.at++;
      return known;
    }
    if (next === "p" || next === "P") throw new BadPattern(UNKNOWN);
    if (next === "b") {
      this.at++;
      return 8;
    }
    return this.escapedCode();
  }

  private literal(wanted: number): Test {
    if (this.exact) return (code) => code === wanted;
    const same = new Set(variants(wanted));
    return (code) => same.has(code);
  }

  private one(test: Test): void {
    this.emit({ op: "one", test: quick(test) });
  }
}

/** A character in each case that it has. */
function variants(code: number): number[] {
  const text = String.fromCodePoint(code);
  return [text, text.toLowerCase(), text.toUpperCase()].flatMap((one) => (one.length === text.length ? one.codePointAt(0)! : []));
}

/** Ways through the program that are followed at once, best first: where each is, and where in the text it began. */
interface Threads {
  at: number[];
  from: number[];
}

const none = (): Threads => ({ at: [], from: [] });

export class Pattern {
  private readonly program: readonly Instruction[];
  /** The step of the search at which an instruction was last reached. */
  private readonly reached: Float64Array;
  private step = 0;
  private now = none();
  private next = none();
  private readonly open: number[] = [];
  /** Which ASCII characters a match may begin with; null when it may be empty. */
  private readonly first: readonly boolean[] | null;

  /** `exact`: upper and lower case differ. Throws BadPattern. */
  constructor(source: string, exact: boolean) {
    this.program = new Compiler(source, exact).compile();
    this.reached = new Float64Array(this.program.length);
    this.first = this.beginnings();
  }

  /** Where the first match from `begin` on is, and where it ends; null without one. */
  find(text: string, begin = 0): readonly [number, number] | null {
    let found: readonly [number, number] | null = null;
    this.now.at.length = this.now.from.length = 0;
    this.step++;
    for (let at = begin; ; ) {
      const { now, next, first } = this;
      if (first && !found && !now.at.length) {
        while (at < text.length && text.charCodeAt(at) < 128 && !first[text.charCodeAt(at)]) at++;
        this.step++;
      }
      if (!found) this.follow(now, 0, text, at, at);
      if (!now.at.length && (found || at >= text.length)) return found;
      const code = at < text.length ? text.codePointAt(at)! : -1;
      const after = at + (code > 0xffff ? 2 : 1);
      next.at.length = next.from.length = 0;
      this.step++;
      for (let each = 0; each < now.at.length; each++) {
        const instruction = this.program[now.at[each]!]!;
        if (instruction.op === "match") {
          found = [now.from[each]!, at];
          break; // the ways after this one are worse
        }
        if (instruction.op === "one" && code >= 0 && instruction.test(code)) this.follow(next, now.at[each]! + 1, text, after, now.from[each]!);
      }
      if (code < 0) return found;
      [this.now, this.next] = [next, now];
      at = after;
    }
  }

  private beginnings(): boolean[] | null {
    const tests: Test[] = [];
    const seen = new Set([0]);
    for (const at of seen) {
      const one = this.program[at]!;
      if (one.op === "match") return null;
      if (one.op === "one") tests.push(one.test);
      else if (one.op === "jump") seen.add(one.to);
      else if (one.op === "split") seen.add(one.first).add(one.second);
      else seen.add(at + 1);
    }
    return Array.from({ length: 128 }, (_, code) => tests.some((test) => test(code)));
  }

  /** Goes on from an instruction to those that take a character, without taking one. */
  private follow(threads: Threads, start: number, text: string, at: number, from: number): void {
    const { open, program, reached, step } = this;
    open.push(start);
    while (open.length) {
      const next = open.pop()!;
      if (reached[next] === step) continue;
      reached[next] = step;
      const instruction = program[next]!;
      if (instruction.op === "jump") open.push(instruction.to);
      else if (instruction.op === "split") open.push(instruction.second, instruction.first);
      else if (instruction.op !== "assert") {
        threads.at.push(next);
        threads.from.push(from);
      } else if (instruction.holds(text, at)) open.push(next + 1);
    }
  }
}
