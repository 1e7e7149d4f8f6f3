// Words as a POSIX shell has them.

const SPACES = " \t\r\n";

/** The words of a command as the server splits them; null for a quote that is never closed, or a backslash at the end. */
export function split(text: string): string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let at = 0;
  while (at < text.length) {
    const character = text[at]!;
    if (SPACES.includes(character)) {
      if (word !== null) words.push(word);
      word = null;
      at++;
      continue;
    }
    const part = partOf(text, at);
    if (!part) return null;
    word = (word ?? "") + part[0];
    at = part[1];
  }
  return word === null ? words : [...words, word];
}

/** What a part of a word means, and where it ends: a quoted text, an escaped character or a plain one. */
function partOf(text: string, at: number): [string, number] | null {
  if (text[at] === "\\") return at + 1 < text.length ? [text[at + 1]!, at + 2] : null;
  if (text[at] === "'") {
    const end = text.indexOf("'", at + 1);
    return end < 0 ? null : [text.slice(at + 1, end), end + 1];
  }
  return text[at] === '"' ? doubleQuoted(text, at + 1) : [text[at]!, at + 1];
}

function doubleQuoted(text: string, begin: number): [string, number] | null {
  let found = "";
  for (let at = begin; at < text.length; at++) {
    if (text[at] === '"') return [found, at + 1];
    if (text[at] === "\\" && at + 1 < text.length) {
      at++;
      if (text[at] !== '"' && text[at] !== "\\") found += "\\";
    }
    found += text[at];
  }
  return null;
}

/** A word that any shell takes as it is: none of its characters means something there, at no place. */
const PLAIN = /^[A-Za-z0-9_./:,@%+-][A-Za-z0-9_./:,@%+=-]*$/;

/** A text as one word of a shell's command. */
export const quote = (word: string): string => (PLAIN.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

/** Words as a command that the server splits into them again. */
export const join = (words: readonly string[]): string => words.map(quote).join(" ");
