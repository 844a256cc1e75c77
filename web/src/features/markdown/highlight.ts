// Colours code with Shiki: loaded when the first code block appears, line by line while it grows.
import type { GrammarState, HighlighterCore, LanguageRegistration, ThemedToken } from "shiki/core";

type Language = { default: LanguageRegistration[] };

/** What people ask models for. Each is a file of its own, fetched when needed. */
const languages: Record<string, () => Promise<Language>> = {
  bash: () => import("shiki/langs/bash.mjs"),
  c: () => import("shiki/langs/c.mjs"),
  cpp: () => import("shiki/langs/cpp.mjs"),
  csharp: () => import("shiki/langs/csharp.mjs"),
  css: () => import("shiki/langs/css.mjs"),
  diff: () => import("shiki/langs/diff.mjs"),
  docker: () => import("shiki/langs/docker.mjs"),
  go: () => import("shiki/langs/go.mjs"),
  html: () => import("shiki/langs/html.mjs"),
  ini: () => import("shiki/langs/ini.mjs"),
  java: () => import("shiki/langs/java.mjs"),
  javascript: () => import("shiki/langs/javascript.mjs"),
  json: () => import("shiki/langs/json.mjs"),
  jsx: () => import("shiki/langs/jsx.mjs"),
  kotlin: () => import("shiki/langs/kotlin.mjs"),
  lua: () => import("shiki/langs/lua.mjs"),
  make: () => import("shiki/langs/make.mjs"),
  markdown: () => import("shiki/langs/markdown.mjs"),
  php: () => import("shiki/langs/php.mjs"),
  powershell: () => import("shiki/langs/powershell.mjs"),
  python: () => import("shiki/langs/python.mjs"),
  r: () => import("shiki/langs/r.mjs"),
  ruby: () => import("shiki/langs/ruby.mjs"),
  rust: () => import("shiki/langs/rust.mjs"),
  scala: () => import("shiki/langs/scala.mjs"),
  sql: () => import("shiki/langs/sql.mjs"),
  swift: () => import("shiki/langs/swift.mjs"),
  toml: () => import("shiki/langs/toml.mjs"),
  tsx: () => import("shiki/langs/tsx.mjs"),
  typescript: () => import("shiki/langs/typescript.mjs"),
  xml: () => import("shiki/langs/xml.mjs"),
  yaml: () => import("shiki/langs/yaml.mjs"),
};

const aliases: Record<string, string> = {
  "c#": "csharp",
  "c++": "cpp",
  cs: "csharp",
  dockerfile: "docker",
  golang: "go",
  js: "javascript",
  kt: "kotlin",
  makefile: "make",
  md: "markdown",
  ps1: "powershell",
  py: "python",
  rb: "ruby",
  rs: "rust",
  sh: "bash",
  shell: "bash",
  ts: "typescript",
  yml: "yaml",
  zsh: "bash",
};

let core: Promise<HighlighterCore> | null = null;

/** The regex engine is JavaScript: the page's policy allows no WebAssembly. */
async function createCore(): Promise<HighlighterCore> {
  const [{ createCssVariablesTheme, createHighlighterCore }, { createJavaScriptRegexEngine }] =
    await Promise.all([import("shiki/core"), import("shiki/engine/javascript")]);
  return createHighlighterCore({
    themes: [createCssVariablesTheme({ name: "aibox", variablePrefix: "--shiki-", variableDefaults: {} })],
    langs: [],
    engine: createJavaScriptRegexEngine({ forgiving: true }),
  });
}

/** A highlighter for one growing piece of code, or null for a language we do not know. */
export async function loadHighlighter(language: string): Promise<Highlighter | null> {
  const lowered = language.toLowerCase();
  const name = aliases[lowered] ?? lowered;
  const load = languages[name];
  if (!load) return null;
  core ??= createCore();
  const [highlighter, registration] = await Promise.all([core, load()]);
  await highlighter.loadLanguage(registration.default);
  return new Highlighter(highlighter, name);
}

/** Remembers the lines it has coloured: while code grows at its end, only the end is coloured anew. */
export class Highlighter {
  readonly #core: HighlighterCore;
  readonly #language: string;
  #done = "";
  #lines: ThemedToken[][] = [];
  #state: GrammarState | undefined;

  constructor(highlighter: HighlighterCore, language: string) {
    this.#core = highlighter;
    this.#language = language;
  }

  lines(code: string): ThemedToken[][] {
    if (!code.startsWith(this.#done)) {
      this.#done = "";
      this.#lines = [];
      this.#state = undefined;
    }
    const whole = code.lastIndexOf("\n") + 1;
    if (whole > this.#done.length) {
      const fresh = this.#colour(code.slice(this.#done.length, whole - 1));
      this.#lines = [...this.#lines, ...fresh];
      this.#state = this.#core.getLastGrammarState(fresh);
      this.#done = code.slice(0, whole);
    }
    return [...this.#lines, ...this.#colour(code.slice(whole))];
  }

  #colour(code: string): ThemedToken[][] {
    return this.#core.codeToTokensBase(code, {
      lang: this.#language,
      theme: "aibox",
      grammarState: this.#state,
    });
  }
}
