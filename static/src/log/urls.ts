// Finds the addresses in a line that may become links: http and https only. Pure.

/** A part of a text, and the address that it is. */
export interface Url {
  begin: number;
  end: number;
  href: string;
}

/** What an address may consist of: no spaces, quotes, angle brackets, or characters that have no shape of their own. */
const FORM = /\bhttps?:\/\/[^\s<>"'`\\^{|}\u0000-\u0020\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\uffff]+/gi;
/** A character with which a sentence goes on, or ends, after an address. */
const AFTER = /[.,:;!?*_~…。，、]/u;
const PAIRS: readonly (readonly [string, string])[] = [
  ["(", ")"],
  ["[", "]"],
];
const MOST = 200;

/** The addresses in a text. `goesOn`: the text is cut at its end, and so may be the address there. */
export function urlsIn(text: string, goesOn = false): Url[] {
  if (!text.includes("://")) return [];
  const found: Url[] = [];
  for (const match of text.matchAll(FORM)) {
    const whole = match[0];
    const begin = match.index;
    if (goesOn && begin + whole.length === text.length) break;
    const shown = trimmed(whole);
    const href = addressOf(shown);
    if (href) found.push({ begin, end: begin + shown.length, href });
    if (found.length === MOST) break;
  }
  return found;
}

/** An address without what follows it in a sentence: a full stop, or a bracket that was opened before it. */
function trimmed(text: string): string {
  const extra = new Map(PAIRS.map(([open, close]) => [close, countOf(text, close) - countOf(text, open)]));
  let end = text.length;
  for (; end > 0; end--) {
    const last = text[end - 1]!;
    const closes = extra.get(last);
    if (closes === undefined ? !AFTER.test(last) : closes <= 0) break;
    if (closes !== undefined) extra.set(last, closes - 1);
  }
  return text.slice(0, end);
}

const countOf = (text: string, character: string): number => text.split(character).length - 1;

/** What a browser makes of it; null for what is no address, or names a user, behind which the real host could hide. */
function addressOf(text: string): string | null {
  try {
    const { protocol, username, password, href } = new URL(text);
    return (protocol === "http:" || protocol === "https:") && !username && !password ? href : null;
  } catch {
    return null;
  }
}
