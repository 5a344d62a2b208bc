// Bundles the style sheet, the browser modules, the icon sprite and the fonts into dist/.
// File names are stable; the server adds the version. It downloads nothing.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";

const OUTPUT = "dist";
const ICON_FOLDER = "node_modules/@tabler/icons/icons/outline";
const FONTS = [
  ["@fontsource-variable/inter/files/inter-latin-wght-normal.woff2", "inter-latin.woff2"],
  ["@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2", "inter-latin-ext.woff2"],
  ["@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2", "jetbrains-mono-latin.woff2"],
];

/** The same for Swagger UI. */
const DOCS_NOTICE = "/* Contains Swagger UI (https://github.com/swagger-api/swagger-ui, Apache-2.0, unchanged). */";
/** noVNC's licence asks that whoever gets the bundle learns where its source is. */
const NOTICE =
  "/* Contains noVNC (https://github.com/novnc/noVNC, MPL-2.0, unchanged) and xterm.js (https://github.com/xtermjs/xterm.js, MIT). */";

/** One <symbol> per name in icons.txt, with the drawing's own strokes left to the style sheet. */
async function sprite() {
  const names = (await readFile("icons.txt", "utf8"))
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const symbols = await Promise.all(
    names.map(async (name) => {
      const drawing = await readFile(`${ICON_FOLDER}/${name}.svg`, "utf8");
      const inside = drawing.slice(drawing.indexOf("<svg"));
      const paths = inside.slice(inside.indexOf(">") + 1, inside.lastIndexOf("</svg>"));
      const tidy = paths.replace(/<path stroke="none"[^>]*\/>/, "").replace(/\s*\n\s*/g, "");
      return `<symbol id="${name}" viewBox="0 0 24 24">${tidy}</symbol>`;
    }),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("\n")}</svg>\n`;
}

await rm(OUTPUT, { recursive: true, force: true });
await mkdir(`${OUTPUT}/fonts`, { recursive: true });
const shared = { bundle: true, minify: true, legalComments: "none", target: ["es2022"], logLevel: "warning" };
await Promise.all([
  build({ ...shared, entryPoints: ["styles/app.css"], outfile: `${OUTPUT}/app.css`, external: ["/assets/*"] }),
  build({ ...shared, entryPoints: ["scripts/app.js"], outfile: `${OUTPUT}/app.js`, format: "esm" }),
  // Only the page of a console loads these.
  build({ ...shared, entryPoints: ["scripts/console.js"], outfile: `${OUTPUT}/console.js`, format: "esm", banner: { js: NOTICE } }),
  build({ ...shared, entryPoints: ["styles/console.css"], outfile: `${OUTPUT}/console.css`, external: ["/assets/*"] }),
  // Only the page of the API loads these.
  build({ ...shared, entryPoints: ["scripts/api-docs.js"], outfile: `${OUTPUT}/api-docs.js`, format: "esm", banner: { js: DOCS_NOTICE } }),
  build({ ...shared, entryPoints: ["styles/api-docs.css"], outfile: `${OUTPUT}/api-docs.css`, external: ["/assets/*"] }),
  build({ ...shared, entryPoints: ["scripts/theme.js"], outfile: `${OUTPUT}/theme.js`, format: "iife" }),
  sprite().then((text) => writeFile(`${OUTPUT}/sprite.svg`, text)),
  copyFile("favicon.svg", `${OUTPUT}/favicon.svg`),
  ...FONTS.map(([from, to]) => copyFile(`node_modules/${from}`, `${OUTPUT}/fonts/${to}`)),
]);
