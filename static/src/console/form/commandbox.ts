// The commands to copy, beside the form.

import { el } from "../../dom";
import { command, nothing } from "../parts";
import { api, root } from "../server";
import type { Session } from "../session";
import { curl, fastlane } from "./commands";
import type { Fields } from "./json";
import { quote } from "./shell";

/** What the commands need to know of who is asked for one: how they log in. */
const loginOf = ({ needsLogin, credential, user }: Session): string => {
  if (!needsLogin) return "";
  return credential !== "password" || !user ? '-H "Authorization: Bearer $FASTLANE_TOKEN" ' : `-u ${quote(user)} `;
};

/** The commands for a job; `missing`: how many of its values are masked. */
export function drawCommands(task: string, body: Fields, who: Session, missing: number): HTMLElement[] {
  if (!task || !(body.get("image") || body.get("service"))) return [nothing("Give it a task and an image or a service, and this has the same as a command.")];
  const made = fastlane(task, body);
  const server = quote(root.replace(/\/$/, ""));
  return [
    ...(missing ? [hint("Secrets are missing, so the server refuses these as they are.")] : []),
    el("h3", {}, "curl"),
    command(curl("POST", api.task(task, ""), body, loginOf(who))),
    el("h3", {}, "fastlane"),
    "command" in made
      ? command(`FASTLANE_URL=${server} ${made.command}`)
      : hint(`Its commands have no options for ${made.without.join(", ")}. Use curl for this job.`),
    ...(who.needsLogin ? [hint("Both need to know who you are: set FASTLANE_TOKEN, or for fastlane also FASTLANE_USER.")] : []),
  ];
}

/** The command for a change of a job: the fields that differ. */
export function drawChange(url: string, content: Fields, who: Session, missing: number): HTMLElement[] {
  if (!content.size) return [nothing("Nothing is changed yet.")];
  return [
    ...(missing ? [hint("Secrets are missing, so the server refuses this as it is.")] : []),
    command(curl("PATCH", url, content, loginOf(who))),
    ...(who.needsLogin ? [hint("It needs to know who you are: set FASTLANE_TOKEN.")] : []),
  ];
}

const hint = (words: string): HTMLElement => el("p", { className: "hint" }, words);
