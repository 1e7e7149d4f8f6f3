// /docs: shows the server's OpenAPI document, and sends requests that a person tries out.

import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import { drawNav } from "./console/nav";
import "./docs.css";

interface System {
  React: { createElement(tag: string, properties: object | null, ...children: unknown[]): unknown };
}

/** Replaces the links that the library puts into an operation's row. The row is a button, which must not contain links, and the row itself
 * sets the address. */
const rowsWithoutLinks = {
  wrapComponents: {
    DeepLink: (_original: unknown, system: System) => (properties: { text: unknown }) =>
      system.React.createElement("span", null, properties.text),
  },
};

const url = new URL("openapi.json", new URL(document.querySelector<HTMLAnchorElement>("#document")!.href)).href;

/** Shows the document. The document has the server's public address; this page uses the address under which it was opened. */
async function start(): Promise<void> {
  const answer = await fetch(url);
  const spec = (await answer.json()) as Record<string, unknown>;
  const root = new URL(".", url).href.replace(/\/$/, "");
  SwaggerUI({
    spec: { ...spec, servers: [{ url: root }] },
    domNode: document.getElementById("docs"),
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    filter: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    plugins: [rowsWithoutLinks],
  });
}

/** Labels, roles and heading levels that the library leaves out or gets wrong. */
const MENDED = [
  ["#servers", "aria-label", "Server"],
  [".information-container", "role", "region"],
  [".information-container", "aria-label", "About"],
  [".scheme-container", "role", "region"],
  [".scheme-container", "aria-label", "Server"],
  [".filter-container", "role", "search"],
  [".operation-filter-input", "aria-label", "Filter by tag or path"],
  [".models", "aria-label", "Schemas"],
  [".opblock-tag, .models h4", "aria-level", "2"],
  [".opblock-body h4", "aria-level", "3"],
  [".opblock-body h5", "aria-level", "4"],
  [".body-param__text", "aria-label", "Request body"],
  [".examples-select-element", "aria-label", "Example"],
] as const;

function mend(page: HTMLElement): void {
  for (const [select, name, value] of MENDED) for (const one of page.querySelectorAll(select)) one.setAttribute(name, value);
  for (const row of page.querySelectorAll<HTMLElement>("tr[data-param-name]"))
    for (const field of row.querySelectorAll("select, input, textarea")) field.setAttribute("aria-label", row.dataset.paramName!);
  for (const table of page.querySelectorAll(".responses-table[role=region]")) {
    const words = [...(table.closest(".opblock")?.querySelectorAll(".opblock-summary-method, .opblock-summary-path") ?? [])];
    table.setAttribute("aria-label", `Responses of ${words.map((word) => word.textContent).join(" ")}`);
  }
}

const darkness = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark-mode", darkness.matches);
darkness.addEventListener("change", shade);
shade();

drawNav("api");
const page = document.getElementById("docs")!;
new MutationObserver(() => mend(page)).observe(page, { childList: true, subtree: true });
start().catch(() => {
  page.textContent = "openapi.json could not be read. Reload this page in a moment.";
});
