// Adding a provider: paste its address, and it is asked for its models before anything is saved.
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { KeyField, KindFields } from "./ProviderFields";
import { presets } from "./presets";
import { type Adapter, type NewProvider, useAddProvider } from "./queries";

const FIELDS = ["name", "base_url", "api_key"];

export function NewProviderDialog({ onClose }: { onClose: () => void }) {
  const [form, setForm] = useState({
    name: "",
    base_url: "",
    api_key: "",
    type: "external" as "external" | "vllm",
    adapter: "chat_completions" as Adapter,
  });
  const addition = useAddProvider();
  const change = (part: Partial<typeof form>) => setForm({ ...form, ...part });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const body: NewProvider = { ...form, api_key: form.api_key.trim() || null };
    addition.mutate(body, { onSuccess: onClose });
  };
  const failure = beyondFields(addition.error, FIELDS);
  return (
    <Modal
      open
      onClose={onClose}
      title="Add a provider"
      description="It is asked for its models first. Nothing is saved when it does not answer."
    >
      <fieldset className="mb-4">
        <legend className="sr-only">Fill in for</legend>
        <div className="flex flex-wrap gap-1.5">
          {presets.map(({ label, ...values }) => (
            <Button
              key={label}
              look="quiet"
              className="h-8 px-3 text-sm aria-pressed:border-accent"
              aria-pressed={form.base_url === values.base_url}
              onClick={() => change(values)}
            >
              {label}
            </Button>
          ))}
        </div>
      </fieldset>
      <form onSubmit={submit} className="space-y-4">
        <Field
          label="Address"
          name="base_url"
          autoFocus
          required
          inputMode="url"
          autoComplete="off"
          spellCheck={false}
          placeholder="https://api.example.com/v1"
          value={form.base_url}
          onChange={(event) => change({ base_url: event.target.value })}
          error={fieldError(addition.error, "base_url")}
          hint="Paste it as you have it; a trailing endpoint or query is cut."
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
          error={fieldError(addition.error, "name")}
          hint="Models are called by it, as in openai/gpt-4o."
        />
        <KeyField
          value={form.api_key}
          onValue={(api_key) => change({ api_key })}
          error={fieldError(addition.error, "api_key")}
          hint="Sealed in the database and never shown again. Leave it empty where none is asked for."
        />
        <KindFields type={form.type} adapter={form.adapter} onChange={change} />
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2 pt-1">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button
            type="submit"
            busy={addition.isPending}
            disabled={!form.base_url.trim() || !form.name.trim()}
          >
            {addition.isPending ? "Asking for its models…" : "Add"}
          </Button>
        </div>
      </form>
    </Modal>
  );
}
