// Where a message is written. Enter sends, Shift+Enter begins a new line, Esc stops the answer.
import { ArrowUp, Square } from "lucide-react";
import { type KeyboardEvent, type Ref, useImperativeHandle, useLayoutEffect, useRef, useState } from "react";

export interface ComposerHandle {
  fill: (text: string) => void;
}

interface ComposerProps {
  ref?: Ref<ComposerHandle>;
  running: boolean;
  stopping: boolean;
  /** Why nothing can be sent now, or null. */
  refusal: string | null;
  onSend: (text: string) => void;
  onStop: () => void;
}

export function Composer({ ref, running, stopping, refusal, onSend, onStop }: ComposerProps) {
  const [text, setText] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const sendable = text.trim() !== "" && !running && refusal === null;

  useImperativeHandle(ref, () => ({
    fill: (filled) => {
      setText(filled);
      area.current?.focus();
    },
  }));

  // biome-ignore lint/correctness/useExhaustiveDependencies: the box is as high as its text, which is what changes.
  useLayoutEffect(() => {
    const box = area.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight}px`;
  }, [text]);

  const send = () => {
    if (!sendable) return;
    onSend(text.trim());
    setText("");
  };

  const pressed = (event: KeyboardEvent) => {
    // While an input method composes a character, Enter belongs to it.
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    }
  };

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      className="flex items-end gap-2 rounded-2xl border border-line-strong bg-surface p-2 shadow-raised focus-within:border-accent focus-within:ring-1 focus-within:ring-accent"
    >
      <textarea
        ref={area}
        id="composer"
        data-testid="composer"
        aria-label="Message"
        aria-describedby="composer-hint"
        placeholder={refusal ?? "Ask anything"}
        rows={1}
        // biome-ignore lint/a11y/noAutofocus: the page is for writing a message.
        autoFocus={window.matchMedia("(pointer: fine)").matches}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={pressed}
        className="max-h-52 min-h-10 flex-1 resize-none bg-transparent px-2.5 py-2 text-base leading-6 outline-none placeholder:text-ink-3"
      />
      {running ? (
        <button
          type="button"
          data-testid="stop"
          aria-label={stopping ? "Stopping" : "Stop"}
          title="Stop (Esc)"
          disabled={stopping}
          onClick={onStop}
          className="inline-flex size-10 shrink-0 items-center justify-center rounded-xl bg-ink text-bg transition-opacity hover:opacity-85 disabled:opacity-50"
        >
          <Square aria-hidden className="size-3.5 fill-current" />
        </button>
      ) : (
        <button
          type="submit"
          data-testid="send"
          aria-label="Send"
          title="Send (Enter)"
          disabled={!sendable}
          className="inline-flex size-10 shrink-0 items-center justify-center rounded-xl bg-accent text-accent-ink transition-colors hover:bg-accent-hover disabled:bg-sunken disabled:text-ink-3"
        >
          <ArrowUp aria-hidden className="size-5" />
        </button>
      )}
      <span id="composer-hint" className="sr-only">
        Enter sends, Shift and Enter begin a new line, Escape stops the answer.
      </span>
    </form>
  );
}
