// Tells the other tabs of this browser that someone logged in or out here, and hears it from them.

export type Change = "in" | "out";

/** `root`: the server's own address; a browser may have several servers open at one origin. */
const channel = (root: string): BroadcastChannel => new BroadcastChannel(`fastlane login ${root}`);

export function tell(root: string, change: Change): void {
  const to = channel(root);
  to.postMessage(change);
  to.close();
}

/** Returns what ends that. */
export function hear(root: string, heard: (change: Change) => void): () => void {
  const from = channel(root);
  from.addEventListener("message", (event: MessageEvent<Change>) => heard(event.data));
  return () => from.close();
}
