// Bundles src/ into the given folder: assets/ (with a hash in their names, each also gzipped) and pages/ (HTML that refers to them).
// In a page, {{name}} is an asset and {{>part}} a file of src/parts/. {{root}} and {{visit}} are left for the server: the path from the page up
// to the server's root, and whether a ticket opened the page.
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const out = process.argv[2];
const assets = join(out, "assets");
const pages = join(out, "pages");

const { metafile } = await build({
  entryPoints: ["src/stream.ts", "src/console.ts", "src/docs.ts", "src/login.ts", "src/favicon.svg"],
  outdir: assets,
  entryNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  bundle: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox115", "safari16.4"],
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

const names = new Map();
for (const [path, { entryPoint, cssBundle }] of Object.entries(metafile.outputs)) {
  if (!entryPoint) continue;
  const [name] = basename(entryPoint).split(".");
  names.set(`${name}.${path.split(".").pop()}`, basename(path));
  if (cssBundle) names.set(`${name}.css`, basename(cssBundle));
}

// The licences of bundled packages. The package of ansi-sequence-parser does not contain its licence.
const swagger = ["NOTICE", "LICENSE", "swagger-ui-es-bundle.js.LICENSE.txt"].map((name) => `node_modules/swagger-ui-dist/${name}`);
const licenses = await Promise.all([...swagger, "src/ansi-sequence-parser.LICENSE.txt"].map((path) => readFile(path, "utf8")));
await writeFile(join(assets, "licenses.txt"), licenses.join("\n\n"));

for (const name of await readdir(assets)) {
  const path = join(assets, name);
  await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: constants.Z_BEST_COMPRESSION }));
}

/** A page's HTML, with the parts that it includes. */
async function page(path) {
  const text = await readFile(path, "utf8");
  const parts = [...new Set(text.match(/{{>\w+}}/g))];
  const filled = await Promise.all(parts.map((part) => page(join("src/parts", `${part.slice(3, -2)}.html`))));
  return parts.reduce((html, part, at) => html.replaceAll(part, filled[at].trimEnd()), text);
}

await mkdir(pages);
for (const name of await readdir("src")) {
  if (!name.endsWith(".html")) continue;
  const html = (await page(join("src", name))).replace(/{{([\w-]+\.\w+)}}/g, (_, asset) => {
    if (!names.has(asset)) throw new Error(`src/${name} refers to ${asset}, which was not built`);
    return `{{root}}static/${names.get(asset)}`;
  });
  await writeFile(join(pages, name), html);
}
