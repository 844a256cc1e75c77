// Making an API key: what it may do, until when, and the key itself, this once.
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { Button } from "../../ui/Button";
import { Command } from "../../ui/copy";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { amountFrom } from "../../ui/money";
import { Notice } from "../../ui/Notice";
import { Select } from "../../ui/Select";
import { modelsQuery } from "../chat/queries";
import { type Scope, useCreateKey } from "./queries";
import { SCOPES } from "./words";

const LIVES = [
  [30, "30 days"],
  [90, "90 days"],
  [365, "A year"],
] as const;
const FIELDS = ["name", "scopes", "models", "budget_usd"];

export function NewKeyDialog({ onClose }: { onClose: () => void }) {
  const creation = useCreateKey();
  if (creation.data) return <Made secret={creation.data.key} onClose={onClose} />;
  return <KeyForm creation={creation} onClose={onClose} />;
}

function KeyForm({ creation, onClose }: { creation: ReturnType<typeof useCreateKey>; onClose: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<Scope[]>(["chat", "models"]);
  const [days, setDays] = useState(90);
  const [models, setModels] = useState<string[]>([]);
  const [budget, setBudget] = useState("");
  const amount = amountFrom(budget);
  const badAmount = budget.trim() !== "" && amount === null;
  const failure = beyondFields(creation.error, FIELDS);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!name.trim() || scopes.length === 0 || badAmount) return;
    creation.mutate({
      name: name.trim(),
      scopes,
      days,
      models: models.length > 0 ? models : null,
      budget_usd: amount,
    });
  };

  return (
    <Modal open onClose={onClose} title="New API key">
      <form onSubmit={submit} className="space-y-5">
        <Field
          label="Name"
          name="key-name"
          autoComplete="off"
          autoFocus
          required
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.target.value)}
          error={fieldError(creation.error, "name")}
          hint="What uses it, such as the name of a program."
        />
        <fieldset>
          <legend className="mb-1.5 font-medium">It may</legend>
          <ul className="grid gap-x-4 gap-y-2 sm:grid-cols-2">
            {SCOPES.map(({ scope, label, about }) => (
              <Check
                key={scope}
                label={label}
                about={about}
                checked={scopes.includes(scope)}
                onChange={(on) => setScopes(toggled(scopes, scope, on))}
              />
            ))}
          </ul>
          {scopes.length === 0 && <p className="mt-1.5 text-sm text-danger">Choose at least one.</p>}
        </fieldset>
        <Select label="Good for" value={days} onChange={(event) => setDays(Number(event.target.value))}>
          {LIVES.map(([life, text]) => (
            <option key={life} value={life}>
              {text}
            </option>
          ))}
        </Select>
        <Models chosen={models} onChange={setModels} />
        <Field
          label="May spend at most"
          name="budget"
          inputMode="decimal"
          autoComplete="off"
          placeholder="No limit of its own"
          value={budget}
          onChange={(event) => setBudget(event.target.value)}
          error={
            badAmount ? "Write an amount in dollars, such as 25." : fieldError(creation.error, "budget_usd")
          }
          hint="In dollars, over its whole life."
        />
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button
            type="submit"
            busy={creation.isPending}
            disabled={!name.trim() || scopes.length === 0 || badAmount}
          >
            Make the key
          </Button>
        </div>
      </form>
    </Modal>
  );
}

function Models({ chosen, onChange }: { chosen: string[]; onChange: (models: string[]) => void }) {
  const models = useQuery(modelsQuery);
  if (!models.data?.length) return null;
  return (
    <details className="rounded-xl border border-line px-4 py-2.5">
      <summary className="font-medium">
        Models: {chosen.length === 0 ? "all" : `only ${chosen.length} chosen`}
      </summary>
      <ul className="mt-2 max-h-48 space-y-1.5 overflow-y-auto">
        {models.data.map(({ id }) => (
          <Check
            key={id}
            label={id}
            checked={chosen.includes(id)}
            onChange={(on) => onChange(toggled(chosen, id, on))}
          />
        ))}
      </ul>
      <p className="mt-2 text-sm text-ink-3">With none chosen it may use all, also later ones.</p>
    </details>
  );
}

interface CheckProps {
  label: string;
  about?: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
}

function Check({ label, about, checked, onChange }: CheckProps) {
  const id = useId();
  return (
    <li className="flex items-start gap-2.5">
      <input
        id={id}
        type="checkbox"
        checked={checked}
        aria-describedby={about ? `${id}-about` : undefined}
        onChange={(event) => onChange(event.target.checked)}
        className="mt-1 size-4 shrink-0 accent-(--accent)"
      />
      <div className="min-w-0">
        <label htmlFor={id} className="break-words">
          {label}
        </label>
        {about && (
          <p id={`${id}-about`} className="text-sm text-ink-3">
            {about}
          </p>
        )}
      </div>
    </li>
  );
}

function toggled<T>(all: T[], one: T, on: boolean): T[] {
  return on ? [...all, one] : all.filter((other) => other !== one);
}

function Made({ secret, onClose }: { secret: string; onClose: () => void }) {
  return (
    <Modal open onClose={onClose} title="Your new key">
      <Notice kind="warn" title="Copy it now">
        It is not shown again. Whoever has it acts as you, within its scopes.
      </Notice>
      <div data-testid="new-key" className="mt-4">
        <Command>{secret}</Command>
      </div>
      <p className="mt-3 text-sm text-ink-2">
        Programs send it as <code className="font-mono text-[0.8125rem]">Authorization: Bearer …</code>
      </p>
      <div className="mt-5 flex justify-end">
        <Button onClick={onClose}>I have copied it</Button>
      </div>
    </Modal>
  );
}
