// The lines that the page's address names: marks them, says where they are, and makes the address of the lines that someone points at.

import type { Place } from "../api";
import { say } from "../dom";
import { count } from "../words";
import type { Connection } from "./connection";
import type { LineAddress, Log } from "./log";
import { type Notice, notice } from "./notices";
import { extended, hashOf, type Target, targetOf } from "./permalink";

export class Address {
  /** `newest`: the execution that is meant where the address names none. */
  constructor(
    private readonly log: Log,
    private readonly connection: Connection,
    private readonly place: Place,
    private readonly newest: () => string | null,
  ) {}

  /** Marks the lines that the address names, and shows them. */
  open(): void {
    const target = targetOf(location.hash);
    const execution = this.place.execution ?? this.newest();
    this.log.mark(target && execution ? { ...target, execution } : null);
    this.draw();
  }

  /** Puts the address of a line into the address bar, with its execution, so that it stays right. A second time takes it away. */
  point({ execution, number }: LineAddress, extend: boolean): void {
    const before = this.log.marked?.execution === execution ? this.log.marked : null;
    const target = extend && before ? extended(before, number) : { first: number, last: number };
    const again = before && hashOf(before) === hashOf(target);
    const url = new URL(execution === this.place.execution ? location.href : new URL(`executions/${execution}/stream`, this.place.jobUrl));
    url.hash = again ? "" : hashOf(target);
    history.replaceState(null, "", url);
    this.log.mark(again ? null : { ...target, execution }, false);
    say(again ? "No line is marked" : `${areMarked(target)} marked. The address leads there.`);
    this.draw();
  }

  /** Lets go of the marked lines, and loads what was not loaded because of them. */
  loadRest(): void {
    if (this.connection.state.is !== "held") return;
    this.log.release();
    this.draw();
    this.connection.resume();
  }

  /** Says so when the marked lines are not here, or keep others away. */
  draw(): void {
    const { marked } = this.log;
    notice("line", marked && this.words(marked, this.log.lastNumber(marked.execution)));
  }

  private words({ first }: Target, last: number): Notice | null {
    const are = this.log.markedAre;
    const has = last > 0 ? `has ${count(last)} ${last === 1 ? "line" : "lines"}` : "is empty";
    const { is } = this.connection.state;
    if (are === "gone") {
      const words = [`Line ${count(first)} is not loaded: only the last lines are.`];
      return { tone: "warn", words, button: { words: "Load it", act: () => location.reload() } };
    }
    if (are === "to come" && is === "done") return { tone: "warn", words: [`There is no line ${count(first)}: the log ${has}.`] };
    if (are === "to come") return { tone: "info", words: [`Line ${count(first)} has not come yet: so far, the log ${has}.`] };
    if (is !== "held") return null;
    const words = [`The lines after ${count(last)} are not loaded, so that line ${count(first)} can stay.`];
    return { tone: "info", words, button: { words: "Load them", act: () => this.loadRest() } };
  }
}

const areMarked = ({ first, last }: Target): string => (first === last ? `Line ${count(first)} is` : `Lines ${count(first)} to ${count(last)} are`);
