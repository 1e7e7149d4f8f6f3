// Makes one tree of elements like another, changing only what differs, so that focus, selection and scrolling stay. Elements with the same
// `data-key` correspond to each other; others do so by their order. Handlers are not carried over: pages use delegation (`data-act`).

/** Makes `before` have the attributes and children of `after`; only the attributes, where it keeps its own children (`data-own`). */
export function morph(before: Element, after: Element): void {
  for (const { name, value } of [...after.attributes]) {
    if (name !== "style" && before.getAttribute(name) !== value) before.setAttribute(name, value);
  }
  for (const { name } of [...before.attributes]) if (!after.hasAttribute(name) && !kept(before, name)) before.removeAttribute(name);
  // A page's policy allows styles that a script sets one by one, and no attribute with all of them.
  if (before instanceof HTMLElement && after instanceof HTMLElement && before.style.cssText !== after.style.cssText) {
    before.style.cssText = after.style.cssText;
  }
  if (!before.hasAttribute("data-own")) morphChildren(before, [...after.childNodes]);
}

/** Replaces the children of an element by these. */
export function morphChildren(parent: Element, after: readonly Node[]): void {
  const keyed = new Map([...parent.children].flatMap((child) => (keyOf(child) === null ? [] : [[keyOf(child)!, child] as const])));
  const seen = new Set<Node>();
  let next: ChildNode | null = parent.firstChild;
  for (const node of after) {
    const key = keyOf(node);
    while (key === null && next && keyOf(next) !== null) next = next.nextSibling;
    const old: Node | null = key === null ? next : (keyed.get(key) ?? null);
    if (old && old.nodeName === node.nodeName) {
      if (old === next) next = next.nextSibling;
      else parent.insertBefore(old, next);
      if (old instanceof Element) morph(old, node as Element);
      else if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
      seen.add(old);
    } else {
      parent.insertBefore(node, next);
      seen.add(node);
    }
  }
  for (const child of [...parent.childNodes]) if (!seen.has(child)) child.remove();
}

const keyOf = (node: Node): string | null => (node instanceof HTMLElement ? (node.dataset.key ?? null) : null);

/** What a person changed by themselves: an open `details` stays open. */
const kept = (element: Element, name: string): boolean => name === "open" && element.tagName === "DETAILS";
