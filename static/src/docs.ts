// /docs: shows the server's own OpenAPI document, and lets a person send its requests.

import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "./docs.css";

const url = new URL("openapi.json", new URL(document.querySelector<HTMLAnchorElement>("#document")!.href)).href;

/** The document names the server by its public address; from here it is reached as this page was. */
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
  });
}

const darkness = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark-mode", darkness.matches);
darkness.addEventListener("change", shade);
shade();

start().catch(() => {
  document.getElementById("docs")!.textContent = "openapi.json could not be read. Load this page again in a moment.";
});
