// Editing a provider: only what differs is sent, and another address, key or format is tried before it is saved.
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { KeyField, KindFields } from "./ProviderFields";
import { changeOf, formOf } from "./providerForm";
import { type Provider, useChangeProvider } from "./queries";

const FIELDS = ["name", "base_url", "api_key", "max_concurrency", "max_waiting", "queue_seconds"];

export function ProviderDialog({ provider, onClose }: { provider: Provider; onClose: () => void }) {
  const [form, setForm] = useState(formOf(provider));
  const saving = useChangeProvider(provider.id);
  const isLocal = provider.type === "local";
  const change = (part: Partial<typeof form>) => setForm({ ...form, ...part });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const body = changeOf(provider, form);
    if (Object.keys(body).length === 0) onClose();
    else saving.mutate(body, { onSuccess: onClose });
  };
  const failure = beyondFields(saving.error, FIELDS);
  return (
    <Modal open onClose={onClose} title={`Edit ${provider.name}`}>
      <form onSubmit={submit} className="space-y-4">
        {!isLocal && (
          <>
            <Field
              label="Address"
              name="base_url"
              required
              inputMode="url"
              autoComplete="off"
              spellCheck={false}
              value={form.base_url}
              onChange={(event) => change({ base_url: event.target.value })}
              error={fieldError(saving.error, "base_url")}
            />
            <Field
              label="Name"
              name="name"
              required
              maxLength={63}
              autoComplete="off"
              spellCheck={false}
              value={form.name}
              onChange={(event) => change({ name: event.target.value })}
              error={fieldError(saving.error, "name")}
            />
            <div>
              <KeyField
                value={form.api_key}
                disabled={form.remove_key}
                onValue={(api_key) => change({ api_key })}
                error={fieldError(saving.error, "api_key")}
                hint={provider.has_key ? "A key is stored. Type another to replace it." : "None is stored."}
              />
              {provider.has_key && (
                <label className="mt-2 flex items-center gap-2 text-sm">
                  <input
                    type="checkbox"
                    className="size-4 accent-(--accent)"
                    checked={form.remove_key}
                    onChange={(event) => change({ remove_key: event.target.checked, api_key: "" })}
                  />
                  Remove the stored key
                </label>
              )}
            </div>
            <KindFields
              type={form.type === "vllm" ? "vllm" : "external"}
              adapter={form.adapter}
              onChange={change}
            />
          </>
        )}
        <fieldset className="rounded-xl border border-line p-4">
          <legend className="px-1 font-medium">How much it is asked</legend>
          <div className="grid gap-4 sm:grid-cols-3">
            <Count
              label="Calls at once"
              placeholder="any"
              value={form.max_concurrency}
              onValue={(max_concurrency) => change({ max_concurrency })}
              error={fieldError(saving.error, "max_concurrency")}
            />
            <Count
              label="In line"
              value={form.max_waiting}
              onValue={(max_waiting) => change({ max_waiting })}
              error={fieldError(saving.error, "max_waiting")}
            />
            <Count
              label="Seconds in line"
              value={form.queue_seconds}
              onValue={(queue_seconds) => change({ queue_seconds })}
              error={fieldError(saving.error, "queue_seconds")}
            />
          </div>
          <p className="mt-2 text-sm text-ink-3">
            More calls than may run at once stand in line; who finds the line full goes to the role’s next
            model.
          </p>
        </fieldset>
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={saving.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Modal>
  );
}

interface CountProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  error: string | null;
  placeholder?: string;
}

function Count({ onValue, ...rest }: CountProps) {
  return (
    <Field
      {...rest}
      inputMode="decimal"
      onChange={(event) => onValue(event.target.value)}
      autoComplete="off"
    />
  );
}
