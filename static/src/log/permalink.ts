// Addresses of lines: #L500, or #L500-L510. A line is named by its number in the log of its execution. Pure.

export interface Target {
  first: number;
  last: number;
}

const FORM = /^#L([1-9]\d{0,11})(?:-L?([1-9]\d{0,11}))?$/;

/** The lines that the end of an address names; null when it names none. */
export function targetOf(hash: string): Target | null {
  const match = FORM.exec(hash);
  if (!match) return null;
  const [one, other] = [Number(match[1]), Number(match[2] ?? match[1])];
  return { first: Math.min(one, other), last: Math.max(one, other) };
}

/** The end of the address of these lines. */
export const hashOf = ({ first, last }: Target): string => (first === last ? `#L${first}` : `#L${first}-L${last}`);

/** From the lines named before to this one. */
export const extended = (before: Target, to: number): Target => ({ first: Math.min(before.first, to), last: Math.max(before.first, to) });
