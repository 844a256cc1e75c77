// A message of the user: shown, edited into a new branch, and the switch between its branches.
import { ChevronLeft, ChevronRight, Pencil } from "lucide-react";
import { type KeyboardEvent, useState } from "react";
import { Button, IconButton } from "../../ui/Button";
import { CopyButton } from "../../ui/copy";
import type { Question } from "./thread";

interface QuestionViewProps {
  question: Question;
  /** No branching while an answer is being written. */
  busy: boolean;
  onEdit: (text: string) => void;
  onSwitch: (itemId: string) => void;
}

export function QuestionView({ question, busy, onEdit, onSwitch }: QuestionViewProps) {
  const [editing, setEditing] = useState(false);
  if (editing) {
    return (
      <EditForm
        text={question.text}
        onCancel={() => setEditing(false)}
        onSave={(text) => {
          setEditing(false);
          onEdit(text);
        }}
      />
    );
  }
  return (
    <article aria-label="You" className="group flex flex-col items-end">
      <div className="max-w-[85%] rounded-2xl rounded-br-md bg-accent-soft px-4 py-2.5 leading-relaxed wrap-anywhere whitespace-pre-wrap">
        {question.text}
      </div>
      <div className="-mb-2 flex h-8 items-center text-ink-3">
        <div className="flex md:opacity-0 md:group-focus-within:opacity-100 md:group-hover:opacity-100">
          <CopyButton text={question.text} label="Copy message" />
          <IconButton label="Edit message" disabled={busy} onClick={() => setEditing(true)}>
            <Pencil aria-hidden className="size-4" />
          </IconButton>
        </div>
        <BranchSwitch question={question} busy={busy} onSwitch={onSwitch} />
      </div>
    </article>
  );
}

function BranchSwitch({ question, busy, onSwitch }: Omit<QuestionViewProps, "onEdit">) {
  const { siblings, itemId } = question;
  const at = siblings.findIndex((sibling) => sibling.id === itemId);
  if (siblings.length < 2 || at === -1) return null;
  const before = siblings[at - 1];
  const after = siblings[at + 1];
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms; this is a small toolbar.
    <div role="group" aria-label="Versions of this message" className="flex items-center">
      <IconButton
        label="Previous version"
        disabled={busy || !before}
        onClick={() => before && onSwitch(before.id)}
      >
        <ChevronLeft aria-hidden className="size-4" />
      </IconButton>
      <span className="text-xs tabular-nums" aria-live="polite">
        <span className="sr-only">Version </span>
        {at + 1}
        <span aria-hidden>/</span>
        <span className="sr-only"> of </span>
        {siblings.length}
      </span>
      <IconButton label="Next version" disabled={busy || !after} onClick={() => after && onSwitch(after.id)}>
        <ChevronRight aria-hidden className="size-4" />
      </IconButton>
    </div>
  );
}

function EditForm(props: { text: string; onCancel: () => void; onSave: (text: string) => void }) {
  const [text, setText] = useState(props.text);
  const changed = text.trim() !== "" && text.trim() !== props.text;
  const save = () => changed && props.onSave(text.trim());
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      save();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      props.onCancel();
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
      className="rounded-2xl border border-line-strong bg-surface p-3"
    >
      <textarea
        aria-label="Edit message"
        // biome-ignore lint/a11y/noAutofocus: the reader has just asked to edit.
        autoFocus
        rows={Math.min(10, text.split("\n").length + 1)}
        value={text}
        onFocus={(event) => event.target.setSelectionRange(text.length, text.length)}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={pressed}
        className="w-full resize-none bg-transparent px-1 leading-relaxed outline-none"
      />
      <div className="mt-2 flex items-center justify-end gap-2">
        <p className="mr-auto text-xs text-ink-3">The earlier version is kept as a branch.</p>
        <Button look="quiet" className="h-9" onClick={props.onCancel}>
          Cancel
        </Button>
        <Button type="submit" className="h-9" disabled={!changed}>
          Send
        </Button>
      </div>
    </form>
  );
}
