// The arguments of a tool that asks, to be changed before it is used.
import { type FormEvent, type KeyboardEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Field } from "../../ui/Field";
import { TextArea } from "../../ui/TextArea";
import { argumentError, draftOf, isLong, labelOf, readDraft } from "./arguments";

interface ArgumentsFormProps {
  given: Record<string, unknown>;
  /** Why the last try was refused. */
  error: Error | null;
  busy: boolean;
  onSave: (edited: Record<string, unknown>) => void;
  onCancel: () => void;
}

export function ArgumentsForm({ given, error, busy, onSave, onCancel }: ArgumentsFormProps) {
  const [start] = useState(() => draftOf(given));
  const [draft, setDraft] = useState(start);
  const [tried, setTried] = useState(false);
  const { arguments: edited, problems } = readDraft(draft, given);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (edited) onSave(edited);
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return;
    // It would stop the answer.
    event.stopPropagation();
    onCancel();
  };
  return (
    <form onSubmit={submit} onKeyDown={pressed} className="mt-3 space-y-3" autoComplete="off">
      {Object.entries(given).map(([name, value], at) => {
        const shared = {
          label: labelOf(name),
          autoFocus: at === 0,
          value: draft[name],
          error: (tried ? problems[name] : null) ?? argumentError(error, name),
          spellCheck: typeof value === "string",
          hint: typeof value === "string" ? undefined : "As JSON.",
        };
        const put = (text: string) => setDraft({ ...draft, [name]: text });
        if (!isLong(start[name] ?? "")) {
          return <Field key={name} {...shared} onChange={(event) => put(event.target.value)} />;
        }
        return (
          <TextArea
            key={name}
            {...shared}
            mono={typeof value !== "string" || value.includes("\n")}
            rows={Math.min(12, (start[name] ?? "").split("\n").length + 1)}
            onChange={(event) => put(event.target.value)}
          />
        );
      })}
      <div className="flex flex-wrap gap-2">
        <Button type="submit" className="h-9" busy={busy}>
          Approve as edited
        </Button>
        <Button look="quiet" className="h-9" disabled={busy} onClick={onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  );
}
