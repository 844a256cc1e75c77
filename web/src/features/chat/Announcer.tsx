// The live region of the chat. Its text changes every few moments, so that speech can keep up.
import { useEffect, useRef, useState } from "react";
import { sentenceEnd, spoken, toolNews } from "./announce";
import type { Answer } from "./thread";

const PAUSE_MS = 1200;

export function Announcer({ answer }: { answer: Answer | undefined }) {
  const [message, setMessage] = useState("");
  const latest = useRef(answer);
  latest.current = answer;
  const writing = answer?.phase === "writing" || answer?.phase === "reconnecting";

  useEffect(() => {
    if (!writing) return;
    let said = 0;
    const told = new Set<string>();
    /** The text up to `end`, then what is new of the tools. */
    const rest = (end: number) => {
      const news = toolNews(latest.current?.tools ?? []).filter(({ key }) => !told.has(key));
      for (const { key } of news) told.add(key);
      const text = spoken((latest.current?.text ?? "").slice(said, end));
      said = end;
      return [text, ...news.map(({ sentence }) => sentence)].filter(Boolean).join(" ");
    };
    setMessage("AIBox is answering.");
    const timer = setInterval(() => {
      const { text = "", tools = [] } = latest.current ?? {};
      // What was written before a tool is said before it, ended or not.
      const words = rest(Math.max(sentenceEnd(text, said), tools.at(-1)?.at ?? 0));
      if (words) setMessage(words);
    }, PAUSE_MS);
    return () => {
      clearInterval(timer);
      const words = rest(latest.current?.text.length ?? 0);
      setMessage(latest.current?.failure ? "The answer failed." : `${words} Answer complete.`.trim());
    };
  }, [writing]);

  return (
    <p role="status" aria-live="polite" className="sr-only">
      {message}
    </p>
  );
}
