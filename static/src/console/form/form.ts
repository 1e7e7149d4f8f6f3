// The form of a job, a new one or one that is there. The body of the request is the one truth; the fields, the JSON and the commands are views of it.

import { el, say } from "../../dom";
import { sentence } from "../../words";
import { nothing, section } from "../parts";
import { pages, Refusal } from "../server";
import { readOnly, type Session } from "../session";
import { type Fault, masked, NOT_CARRIED, put } from "./body";
import { drawChange, drawCommands } from "./commandbox";
import { type Input, labelled, line, type Owner, showFaults } from "./entries";
import { compact, type Fields, type Json } from "./json";
import { JsonView } from "./jsonview";
import { type Layout, layout } from "./layout";
import { askImpact, drawWhen, drawWhere, type Judgement, judge, whenWords } from "./preview";
import { SCHEDULE_FIELDS } from "./schedule";
import { secretsNotice } from "./secrets";
import { Sender } from "./sender";
import { NEW, type Target } from "./target";
import { troubles } from "./trouble";

export interface Start {
  title: string;
  task: string;
  body: Fields;
  /** The change of a job that is there; a new job, unless given. */
  target?: Target;
}

/** Milliseconds without a key after which the server is asked. */
const TYPING = 250;
/** Stands for the task while there is none. */
const ANY_TASK = "task";
const NOTHING: Judgement = { preview: null, faults: [], refusal: null };

export class Form implements Owner {
  body: Fields;
  readonly element: HTMLFormElement;
  private readonly task = line("nightly-backup");
  private readonly when = el("div", { className: "when" });
  private readonly where = el("div");
  private readonly commands = el("div", { className: "commands" });
  private readonly secrets = el("div");
  private readonly trouble = el("div");
  private readonly beyond = el("p", { className: "hint beyond" });
  private readonly layout: Layout;
  private readonly json: JsonView;
  private readonly views: readonly HTMLButtonElement[];
  private readonly send: HTMLButtonElement;
  private readonly barred: string | null;
  private readonly target: Target;
  private readonly sender: Sender;
  private readonly touched = new Set<Input>();
  /** Whether fields that nobody has typed into show their faults. */
  private strict = false;
  /** Whether someone has typed; the browser asks before they lose it. */
  private edited = false;
  private sending = false;
  private created = false;
  private judgement = NOTHING;
  /** Whether the judgement is of what the form has now. */
  private fresh = false;
  private elsewhere: readonly Fault[] = [];
  /** Why the job was not created. */
  private refusal: Refusal | null = null;
  private timer = 0;
  private asked = 0;
  private shown = "";
  private said = "";

  constructor(
    start: Start,
    private readonly who: Session,
  ) {
    this.body = start.body;
    this.target = start.target ?? NEW;
    this.sender = new Sender(this.target);
    this.barred = readOnly(who);
    this.task.value = start.task;
    this.task.readOnly = this.isChange;
    this.json = new JsonView((body) => this.replace(body));
    this.layout = layout(this, this.when);
    this.send = el("button", { type: "submit", className: "primary", disabled: this.barred !== null, title: this.barred ?? "" }, this.target.button);
    this.views = ["Form", "JSON"].map((words, index) => {
      const button = el("button", { type: "button", "aria-pressed": String(index === 0) }, words);
      button.addEventListener("click", () => this.view(index === 1));
      return button;
    });
    this.element = this.draw(start.title);
    this.task.addEventListener("input", () => this.edit([], undefined, this.task));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    addEventListener("beforeunload", (event) => this.edited && !this.created && event.preventDefault());
    addEventListener("pageshow", (event) => event.persisted && this.busy(false));
    this.layout.show();
    this.changed();
  }

  private draw(title: string): HTMLFormElement {
    const hint = this.isChange ? "A job stays in its task." : "The name under which the job is found. A new name makes a new task.";
    const task = labelled(this.task, "Task", hint);
    return el(
      "form",
      { className: "new", noValidate: true, "aria-label": title },
      el("div", { className: "title" }, el("h1", {}, title), el("div", { className: "views", role: "group", "aria-label": "View" }, ...this.views)),
      this.secrets,
      this.trouble,
      el(
        "div",
        { className: "columns" },
        el("div", {}, el("section", {}, el("div", { className: "fields" }, task)), this.layout.element, this.json.element, this.beyond),
        el("div", {}, section("Where it would run", null, this.where), section("The same from a terminal", null, this.commands)),
      ),
      el("div", { className: "bottom" }, this.send, this.barred && el("span", { className: "muted" }, this.barred)),
    );
  }

  // what people type

  edit(path: readonly string[], value: Json | undefined, input: Input): void {
    this.edited = true;
    if (path.length) put(this.body, path, value);
    this.touched.add(input);
    this.changed();
  }

  /** Takes a body from the JSON; null when that cannot be read. */
  private replace(body: Fields | null): void {
    this.edited = true;
    if (body) this.body = body;
    this.changed();
  }

  /** Shows the JSON, or the fields. */
  private view(json: boolean): void {
    if (!json && this.json.fault) return this.json.goTo();
    // The JSON would have the last one of two of a name.
    const [twice] = this.controlFaults();
    if (json && twice) return twice[0].focus();
    if (json) this.json.show(this.body);
    else this.layout.show();
    this.json.element.hidden = !json;
    this.layout.element.hidden = json;
    this.views.forEach((button, index) => button.setAttribute("aria-pressed", String(json === (index === 1))));
    this.showFaults();
    this.showBeyond();
  }

  private get isChange(): boolean {
    return this.target.method === "PATCH";
  }

  /** What would be sent. */
  private get content(): Fields {
    return this.target.content(this.body);
  }

  private get inJson(): boolean {
    return !this.json.element.hidden;
  }

  private changed(): void {
    this.refusal = null;
    this.fresh = false;
    const task = this.taskId;
    const { content } = this;
    const missing = masked(content);
    const commands = this.json.fault ? "" : `${task}\n${compact(content)}`;
    if (commands !== this.shown || !commands) {
      const drawn = this.isChange ? drawChange(this.target.url(task), content, this.who, missing.length) : drawCommands(task, content, this.who, missing.length);
      this.commands.replaceChildren(...(this.json.fault ? [nothing("The JSON cannot be read.")] : drawn));
    }
    this.shown = commands;
    this.secrets.replaceChildren(...secretsNotice(masked(this.body), missing));
    this.showBeyond();
    this.showFaults();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), TYPING);
  }

  private get taskId(): string {
    return this.task.value;
  }

  private showBeyond(): void {
    const names = this.inJson ? [] : this.layout.beyond();
    this.beyond.textContent = names.length ? `The JSON has more that is kept as it is: ${names.join(", ")}.` : "";
  }

  // what the server says

  /** Asks the server what the job would be. */
  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    const ordinal = ++this.asked;
    if (this.barred) return this.showPreview(`${this.barred} So there is no preview.`);
    if (this.json.fault) return;
    const found = await judge(this.target, this.taskId || ANY_TASK, this.body);
    if (ordinal !== this.asked) return;
    this.judgement = found;
    this.fresh = true;
    this.showPreview(found.refusal ? sentence(found.refusal.message) : "Correct the fields to see this.");
    this.showFaults();
  }

  private showPreview(reason: string): void {
    const { preview } = this.judgement;
    const start = this.isChange ? (SCHEDULE_FIELDS.some((name) => this.content.has(name)) ? "saved" : "kept") : "created";
    this.when.replaceChildren(...drawWhen(preview, reason, start));
    this.where.replaceChildren(...(this.taskId ? drawWhere(preview, reason, () => askImpact(this.target, this.taskId, this.body)) : [nothing("Its task decides in which pool it runs.")]));
    const words = preview && preview.schedule.kind !== "now" ? whenWords(preview, start) : "";
    if (words && words !== this.said) say(words);
    this.said = words;
  }

  // what is wrong

  /** What is known to be wrong before the server is asked. */
  private ownFaults(): Fault[] {
    const found = masked(this.content).map((field) => ({ field, message: NOT_CARRIED }));
    if (this.strict && !this.taskId) found.push({ field: "taskId", message: "is missing; name the task under which the job is found" });
    if ([".", ".."].includes(this.taskId)) found.push({ field: "taskId", message: "is not a task's name; choose another one" });
    return found;
  }

  /** Shows each fault beside its field, and the others above the form. Returns the inputs that have one. */
  private showFaults(): Input[] {
    const own = this.ownFaults();
    const told = this.judgement.faults.filter(({ field }) => field !== "taskId" || this.taskId !== "");
    const all = [...own, ...told];
    const byInput = new Map<Input, Fault[]>();
    const elsewhere: Fault[] = [];
    for (const fault of all) {
      const input = this.inputOf(fault.field);
      if (!input && (this.strict || !own.includes(fault))) elsewhere.push(fault);
      else if (!input) continue;
      else if (this.strict || own.includes(fault) || this.touched.has(input)) byInput.set(input, [...(byInput.get(input) ?? []), fault]);
    }
    for (const [input, words] of this.controlFaults()) {
      byInput.set(input, [...(byInput.get(input) ?? []), { field: "", message: words }]);
    }
    for (const input of this.element.querySelectorAll<Input>("[aria-invalid]")) {
      if (!byInput.has(input) && input !== this.json.input) showFaults(input, []);
    }
    for (const [input, faults] of byInput) showFaults(input, faults);
    this.json.showFaults(this.inJson && !this.json.fault ? all.filter(({ field }) => field !== "taskId") : []);
    // What the server said before may be of a row that is gone.
    if (this.fresh) this.elsewhere = elsewhere;
    const box = troubles(this.target, this.inJson ? [] : this.elsewhere, this.refusal, this.sender.mayBeIn, () => this.view(true));
    if (box?.textContent !== (this.trouble.textContent || undefined)) this.trouble.replaceChildren(...(box ? [box] : []));
    return [...byInput.keys()];
  }

  private controlFaults(): (readonly [Input, string])[] {
    return this.inJson ? [] : this.layout.controls.flatMap((control) => control.faults?.() ?? []);
  }

  private inputOf(field: string): Input | null {
    if (field === "taskId") return this.task;
    if (this.inJson) return null;
    for (const control of this.layout.controls) {
      const input = control.inputOf(field);
      if (input) return input;
    }
    return null;
  }

  /** Goes to the first thing that is wrong. */
  private focusFirst(): void {
    const inputs = this.showFaults();
    for (const control of this.layout.controls) {
      if (inputs.some((input) => control.element.contains(input))) this.layout.reveal(control);
    }
    const inOrder = [...this.element.querySelectorAll<Input>("input, textarea, select")].filter((input) => inputs.includes(input));
    const box = this.trouble.firstElementChild;
    const fault = [...this.ownFaults(), ...this.judgement.faults][0];
    if (box instanceof HTMLElement) box.focus();
    else if (inOrder[0]) inOrder[0].focus();
    else if (this.inJson && fault) this.json.goTo(fault);
  }

  // creating it

  private async submit(): Promise<void> {
    if (this.sending || this.barred) return;
    this.strict = true;
    if (this.json.fault) return this.json.goTo();
    this.busy(true);
    try {
      await this.create();
    } finally {
      if (!this.created) this.busy(false);
    }
    if (!this.created) this.focusFirst();
  }

  private async create(): Promise<void> {
    if (this.controlFaults().length || this.ownFaults().length) return this.ask();
    try {
      const { taskId, jobId } = await this.sender.send(this.taskId, this.body);
      this.created = true;
      say(this.target.done);
      location.assign(pages.job(taskId, jobId));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      clearTimeout(this.timer);
      this.asked++;
      this.refusal = error.faults.length ? null : error;
      this.judgement = { ...this.judgement, faults: error.faults };
      this.fresh = true;
    }
  }

  private busy(is: boolean): void {
    if (!is) this.created = false;
    this.sending = is;
    this.send.disabled = is || this.barred !== null;
    this.send.textContent = is ? this.target.busy : this.target.button;
  }
}
