// Makes elements. Text is always inserted as text, never as HTML.

type Child = Node | string | null | undefined | false;

/** Makes an element with properties, attributes (`data-…`, `aria-…`, `role`) and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") {
      if (value !== null && value !== undefined) made.setAttribute(name, String(value));
    } else if (value !== undefined) {
      Object.assign(made, { [name]: value });
    }
  }
  made.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return made;
}

/** The element with this id, which must exist. */
export function the<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** Replaces an element's children, each of which has a key. A child whose key was there before is kept, with its focus. */
export function redraw(parent: HTMLElement, parts: readonly (readonly [string, () => HTMLElement])[]): void {
  const before = new Map(([...parent.children] as HTMLElement[]).map((child) => [child.dataset.key, child]));
  const after = parts.map(([key, make]) => {
    const child = before.get(key) ?? make();
    child.dataset.key = key;
    return child;
  });
  if (after.length === before.size && after.every((child, at) => child === parent.children[at])) return;
  const active = document.activeElement;
  parent.replaceChildren(...after);
  if (active instanceof HTMLElement && parent.contains(active)) active.focus({ preventScroll: true });
}

/** Announces something to screen readers, once. */
export function say(words: string): void {
  const place = the("said");
  if (place.textContent !== words) place.textContent = words;
}
