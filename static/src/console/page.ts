// What a page is, and how it is kept up to date.

export interface Page {
  /** Which link of the navigation leads here. */
  nav: string;
  /** Its name in the title bar. */
  title: string;
  /** Which events change it, as a query of the API; all, unless given. Null: none does. */
  events?: Record<string, string> | null;
  /** Fields by which its list is filtered. They stay while its content changes. */
  tools?: HTMLElement[];
  /** What its buttons do, by their `data-act`. They throw a Refusal. */
  acts?: Record<string, (button: HTMLElement) => Promise<void>>;
  /** Reads what it shows. Throws a Refusal. */
  load(): Promise<() => HTMLElement[]>;
}
