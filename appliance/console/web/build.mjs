// Builds the pages into dist/: one script, one style sheet, two fonts, a sprite of the icons in use, index.html.
// The output depends on the sources and the lock file only (names carry a hash of the content, no times, no paths), so that the
// same commit always gives the same binary.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, "src");
const out = join(here, "dist");
const modules = join(here, "node_modules");

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "assets"), { recursive: true });

/** Writes a file under assets/ with a hash of its content in its name and returns its URL. */
function asset(name, extension, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  const file = `assets/${name}-${hash}.${extension}`;
  writeFileSync(join(out, file), content);
  return `/${file}`;
}

const fonts = {
  "/fonts/inter": asset("inter", "woff2",
    readFileSync(join(modules, "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"))),
  "/fonts/mono": asset("mono", "woff2",
    readFileSync(join(modules, "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2"))),
};

// One symbol for each icon that parts/icon.tsx lists; a name that the set doesn't have fails the build.
const names = readFileSync(join(source, "parts/icon-names.ts"), "utf8").match(/"[a-z0-9-]+"/g).map((name) => name.slice(1, -1));
const symbols = names.map((name) => {
  const drawing = readFileSync(join(modules, `lucide-static/icons/${name}.svg`), "utf8")
    .replace(/<!--[\s\S]*?-->|<svg[\s\S]*?>|<\/svg>/g, "").trim().replace(/\s+/g, " ");
  return `<symbol id="${name}" viewBox="0 0 24 24">${drawing}</symbol>`;
});
const sprite = asset("icons", "svg", `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`);

// The fonts' and the sprite's final names are known only now.
const late = {
  name: "late-names",
  setup(bundle) {
    bundle.onLoad({ filter: /styles\/fonts\.css$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(/\/fonts\/(inter|mono)/g, (url) => fonts[url]),
      loader: "css",
    }));
  },
};

const result = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.tsx", "src/theme.ts", "src/styles/index.css"],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { SPRITE: JSON.stringify(sprite) },
  external: ["/assets/*"],
  legalComments: "none",
  plugins: [late],
  outdir: out,
  write: false,
  logLevel: "warning",
});

const urls = {};
for (const file of result.outputFiles) {
  const [, name, extension] = file.path.match(/([a-z]+)\.(js|css)$/);
  urls[`${name}.${extension}`] = asset(name, extension, file.contents);
}

writeFileSync(join(out, "index.html"), `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Redan</title>
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${asset("mark", "svg", readFileSync(join(source, "mark.svg")))}">
<script src="${urls["theme.js"]}"></script>
<link rel="stylesheet" href="${urls["index.css"]}">
<script type="module" src="${urls["main.js"]}"></script>
</head>
<body>
<div id="app"></div>
<noscript>The console needs JavaScript. Everything that it does can also be done with the API and the command <code>redan</code>.</noscript>
</body>
</html>
`);

const files = readdirSync(join(out, "assets")).sort();
console.log(`${files.length + 1} files in web/dist:`, files.join(" "));
