// The tools for the log, by pointer and by keyboard.

import { copyBy } from "../clipboard";
import { type Key, listenFor } from "../console/keys";
import { say, the } from "../dom";
import type { Choice, LineAddress, Log } from "./log";
import { selectedAround } from "./selection";

const TYPING = 120;

const KEYS: readonly Key[] = [
  ["/ or Ctrl+F", "Search"],
  ["Enter", "The next match; with Shift, the previous one"],
  ["e", "The next line of stderr; with Shift, the previous one"],
  ["f", "Follow the log, or pause"],
  ["g", "Fold all groups, or open them"],
  ["l", "The address of the current match, or of the first line in view; with Shift, of all lines up to it"],
  ["End", "Go to the end, and follow"],
  ["Esc", "Back from the search to the log"],
  ["?", "Show or hide this help"],
];

/** `onShow`: called when other lines are shown; `onPoint` when someone points at a line, for its address, or for the address of all lines up to it. */
export function equip(log: Log, onShow: () => void, onPoint: (line: LineAddress, extend: boolean) => void): void {
  press("follow", () => log.list.follow(!log.list.following));
  press("stderr", () => jump(log, 1));
  press("groups", () => foldGroups(log));
  press("newer", () => log.list.follow(true));
  press("copy", () => void copy(log));
  the("log").addEventListener("keydown", (event) => {
    if (event.key === "End") log.list.follow(true);
  });
  const point = (line: LineAddress | null, extend: boolean): void => void (line && onPoint(line, extend));
  the("lines").addEventListener("click", (event) => {
    const number = (event.target as Element).closest(".no");
    if (number) point(log.lineAt(number), event.shiftKey);
  });
  listenFor(KEYS, (event) => {
    if (event.key.toLowerCase() === "l") point(log.lineInView, event.shiftKey);
    else if (event.key.toLowerCase() === "e") jump(log, event.shiftKey ? -1 : 1);
    else if (event.key === "f") log.list.follow(!log.list.following);
    else if (event.key === "g") foldGroups(log);
    else if (event.key === "/") {
      event.preventDefault();
      the<HTMLInputElement>("query").select();
    }
  });
  equipSearch(log);
  equipSelection(log);
  const shown = the<HTMLSelectElement>("shown");
  shown.addEventListener("change", () => {
    log.show(shown.value as Choice);
    onShow();
  });
  remember("wrap", true, (on) => log.list.wrap(on));
  remember("times", false, (on) => log.list.time(on));
  remember("runs", false, () => {});
  equipMenu();
  unfold("others", "(min-width: 1100px)");
  unfold("about", "(min-width: 720px) and (min-height: 521px)");
}

export function press(id: string, act: () => void): void {
  the(id).addEventListener("click", act);
}

const isPressed = (id: string): boolean => the(id).getAttribute("aria-pressed") === "true";

/** Folds all groups or opens them, or says that there are none. */
function foldGroups(log: Log): void {
  if (!log.grouped.any) return say("There are no groups");
  log.foldGroups();
  say(log.grouped.folded ? "All groups are folded" : "All groups are open");
}

/** Goes to another line of stderr, or says that there is none. */
function jump(log: Log, by: 1 | -1): void {
  if (!log.jump(by)) say(by > 0 ? "No line of stderr follows" : "No line of stderr comes before");
}

function equipSearch(log: Log): void {
  const query = the<HTMLInputElement>("query");
  let typing = 0;
  const find = () => {
    clearTimeout(typing);
    typing = 0;
    log.find({ words: query.value, isPattern: isPressed("pattern"), exact: isPressed("exact") });
  };
  for (const id of ["pattern", "exact"]) {
    press(id, () => {
      the(id).setAttribute("aria-pressed", String(!isPressed(id)));
      find();
      query.focus();
    });
  }
  query.addEventListener("input", () => {
    clearTimeout(typing);
    typing = window.setTimeout(find, TYPING);
  });
  query.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter") {
      if (typing) find();
      log.search.step(event.shiftKey ? -1 : 1);
    }
    if (event.key === "Escape") the("log").focus();
  });
  press("next", () => log.search.step(1));
  press("back", () => log.search.step(-1));
  // The browser's own search sees only the lines in the document. So the first Ctrl+F is ours, and the next one is the browser's.
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "f" && document.activeElement !== query) {
      event.preventDefault();
      query.select();
    }
  });
}

/** Selects and copies lines that are not in the document, too. */
function equipSelection(log: Log): void {
  const isField = (target: unknown) => target instanceof Element && target.matches("input, textarea, select");
  addEventListener("keydown", (event) => {
    if (event.key !== "a" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (isField(event.target) || !log.counts.shown) return;
    event.preventDefault();
    log.list.selectAll();
  });
  document.addEventListener("copy", (event) => {
    const text = isField(document.activeElement) ? null : log.list.selected();
    if (text === null || !event.clipboardData) return;
    const [before, after] = selectedAround(the("lines"));
    event.clipboardData.setData("text/plain", [before && `${before.trimEnd()}\n`, text, after.trimStart()].join(""));
    event.preventDefault();
  });
}

/** Keeps a setting for the next visit. */
function remember(id: "wrap" | "times" | "runs", otherwise: boolean, apply: (on: boolean) => void): void {
  const box = the<HTMLInputElement>(id);
  const key = `fastlane.${id}`;
  try {
    box.checked = (localStorage.getItem(key) ?? String(otherwise)) === "true";
  } catch {
    box.checked = otherwise;
  }
  box.addEventListener("change", () => {
    apply(box.checked);
    try {
      localStorage.setItem(key, String(box.checked));
    } catch {
      // Storage is not allowed: the setting lasts for this visit.
    }
  });
  apply(box.checked);
}

/** Closes the menu on a click elsewhere, or on Escape. */
function equipMenu(): void {
  const menu = the<HTMLDetailsElement>("view");
  addEventListener("pointerdown", (event) => {
    if (!menu.contains(event.target as Node)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary")!.focus();
  });
}

/** Opens a part of the page when there is room for it. */
function unfold(id: string, room: string): void {
  const query = matchMedia(room);
  const apply = () => (the<HTMLDetailsElement>(id).open = query.matches);
  query.addEventListener("change", apply);
  apply();
}

async function copy(log: Log): Promise<void> {
  const chosen = log.list.selected();
  await copyBy(the("copy"), chosen ?? log.text(), chosen === null ? "All lines" : "Selection");
}
