// Keeps the page up to date: reads it again when the window is looked at again, and says how old it is.

import { the } from "../dom";
import { tickTimes } from "./times";

/** A page that is looked at again this soon after it was read is not read again, in milliseconds. */
const FRESH = 2_000;

export type Freshness = "loading" | "fresh" | "stale";

const WORDS: Record<Freshness, string> = { loading: "Loading", fresh: "Up to date", stale: "Out of date" };

/** Shows whether the page is up to date. */
export function show(is: Freshness): void {
  const place = the("live");
  place.dataset.is = is;
  the("live-words").textContent = WORDS[is];
}

/** Reads the page again whenever someone comes back to it. */
export function keepFresh(reload: () => void): void {
  let read = Date.now();
  const again = (): void => {
    if (document.hidden || Date.now() - read < FRESH) return;
    read = Date.now();
    reload();
  };
  document.addEventListener("visibilitychange", again);
  addEventListener("focus", again);
  addEventListener("pageshow", (event) => event.persisted && again());
  setInterval(() => !document.hidden && tickTimes(), 1_000);
}
