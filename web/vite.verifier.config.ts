// Builds the page that verifies a dropped receipt, twice: `verify.html` with its script beside it, which the server's strict
// Content-Security-Policy allows, and `aibox-verifier.html`, one file to save and open from a disk.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vitest/config";

const out = join(import.meta.dirname, "../aibox/gateway/static");

export default defineConfig({
  root: "src/verifier-page",
  publicDir: false,
  plugins: [oneFile()],
  build: {
    outDir: out,
    emptyOutDir: false, // the web app is there already
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: { input: "src/verifier-page/verify.html" },
  },
});

/** Writes the second form: style and script inside, under a policy that allows nothing else, no network least of all. */
function oneFile(): Plugin {
  return {
    name: "one-file",
    async writeBundle() {
      const page = await readFile(join(out, "verify.html"), "utf8");
      const [linked, script] = await inside(
        page,
        /<script[^>]* src="([^"]+)"><\/script>/,
        "script",
        'type="module"',
      );
      const [whole, style] = await inside(linked, /<link rel="stylesheet"[^>]* href="([^"]+)">/, "style");
      const policy = `default-src 'none'; script-src ${script}; style-src ${style}; img-src data:; base-uri 'none'; form-action 'none'`;
      const meta = `<meta http-equiv="Content-Security-Policy" content="${policy}" />`;
      const begin = '<meta charset="utf-8" />';
      if (!whole.includes(begin)) throw new Error("the page does not begin as expected");
      await writeFile(
        join(out, "aibox-verifier.html"),
        whole.replace(begin, () => `${begin}\n    ${meta}`),
      );
    },
  };
}

/** The page with the linked file inside, and the hash that allows just that. */
async function inside(page: string, link: RegExp, tag: string, attributes = ""): Promise<[string, string]> {
  const [found, address] = link.exec(page) ?? [];
  if (found === undefined || address === undefined) throw new Error(`the page links no ${tag}`);
  const content = (await readFile(join(out, address), "utf8")).trim();
  if (content.includes(`</${tag}`)) throw new Error(`the ${tag} would end early`);
  const hash = createHash("sha256").update(content).digest("base64");
  return [page.replace(found, () => `<${tag} ${attributes}>${content}</${tag}>`), `'sha256-${hash}'`];
}
