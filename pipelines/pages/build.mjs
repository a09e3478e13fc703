// assets/ from source/: one script and one sheet of styles for each page, and the licences of what is bundled.
// The same sources give the same bytes on any machine: tests/pages/test_assets.py compares them.
import {mkdir, readFile, readdir, writeFile} from "node:fs/promises";
import {dirname, join} from "node:path";
import {fileURLToPath} from "node:url";
import {build} from "esbuild";

const folder = dirname(fileURLToPath(import.meta.url));
const into = process.argv[2] ?? join(folder, "assets");

// Plot puts a <style> element into each drawing, which our Content-Security-Policy refuses. What it says stands in
// source/style/charts.css instead.
const withoutStyleElements = {
  name: "without-style-elements",
  setup({onLoad}) {
    onLoad({filter: /@observablehq[/\\]plot[/\\]src[/\\](plot|legends[/\\](ramp|swatches))\.js$/}, async ({path}) => {
      const source = await readFile(path, "utf8");
      const contents = source.replace(/\b\w+\.(?:append\("style"\)|insert\("style", "\*"\))\.text\(\s*`[^`]*`\s*\)/g, "null");
      if (contents === source) throw new Error(`${path} makes its <style> in another way now`);
      return {contents};
    });
  },
};

const {metafile} = await build({
  absWorkingDir: folder,
  entryPoints: {report: "source/report/main.jsx", app: "source/app/main.jsx"},
  outdir: into,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  plugins: [withoutStyleElements],
  metafile: true,
  logLevel: "warning",
});

const bundled = new Set(
  Object.values(metafile.outputs)
    .flatMap(({inputs}) => Object.entries(inputs))
    .filter(([, {bytesInOutput}]) => bytesInOutput > 0)
    .map(([path]) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1])
    .filter(Boolean)
);
const notices = await Promise.all([...bundled].sort().map(notice));
await mkdir(into, {recursive: true});
await writeFile(join(into, "LICENCES.txt"), `What report.js and app.js contain, beside our own source.\n\n${notices.join("\n\n")}\n`);

async function notice(name) {
  const home = join(folder, "node_modules", name);
  const {version, license} = JSON.parse(await readFile(join(home, "package.json"), "utf8"));
  const file = (await readdir(home)).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} comes without its licence`);
  return `${"=".repeat(80)}\n${name} ${version} (${license})\n\n${(await readFile(join(home, file), "utf8")).trim()}`;
}
