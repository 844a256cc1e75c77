// The live region of the chat. Its text changes every few moments, so that speech can keep up.
import { useEffect, useRef, useState } from "react";
import { sentenceEnd, spoken } from "./announce";
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
    setMessage("AIBox is answering.");
    const timer = setInterval(() => {
      const text = latest.current?.text ?? "";
      const end = sentenceEnd(text, said);
      if (end > said) setMessage(spoken(text.slice(said, end)));
      said = end;
    }, PAUSE_MS);
    return () => {
      clearInterval(timer);
      const last = latest.current;
      const rest = spoken((last?.text ?? "").slice(said));
      setMessage(last?.failure ? "The answer failed." : `${rest} Answer complete.`.trim());
    };
  }, [writing]);

  return (
    <p role="status" aria-live="polite" className="sr-only">
      {message}
    </p>
  );
}
