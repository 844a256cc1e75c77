// A block of code: its language, a copy button, and colours as soon as they are there.
import { useEffect, useState } from "react";
import { CopyButton } from "../../ui/copy";
import { type Highlighter, loadHighlighter } from "./highlight";

export function CodeBlock({ code, language }: { code: string; language: string }) {
  const highlighter = useHighlighter(language);
  return (
    <figure className="code-block overflow-hidden rounded-xl border border-line bg-(--code-bg)">
      <figcaption className="flex h-9 items-center justify-between border-b border-line pr-1 pl-3.5 text-xs text-ink-3">
        <span>{language || "text"}</span>
        <CopyButton text={code} label="Copy code" />
      </figcaption>
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: wide code is scrolled with the arrow keys.
        tabIndex={0}
        className="code-tokens overflow-x-auto px-3.5 py-3 font-mono text-[0.8125rem] leading-relaxed"
      >
        <code>{highlighter ? <Coloured code={code} highlighter={highlighter} /> : code}</code>
      </pre>
    </figure>
  );
}

function Coloured({ code, highlighter }: { code: string; highlighter: Highlighter }) {
  return highlighter.lines(code).map((line, row) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: lines and tokens are known by their places only.
    <span key={row}>
      {row > 0 && "\n"}
      {line.map((token, column) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: see above.
        <span key={column} style={{ color: token.color }}>
          {token.content}
        </span>
      ))}
    </span>
  ));
}

function useHighlighter(language: string): Highlighter | null {
  const [highlighter, setHighlighter] = useState<Highlighter | null>(null);
  useEffect(() => {
    let current = true;
    setHighlighter(null);
    loadHighlighter(language).then(
      (loaded) => current && setHighlighter(loaded),
      // Its file could not be fetched (e.g. offline): the code stays plain, which is fine to read.
      () => {},
    );
    return () => {
      current = false;
    };
  }, [language]);
  return highlighter;
}
