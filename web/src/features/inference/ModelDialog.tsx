// A model's terms: what it can do, how much it reads, what it costs. Adding one that the provider does not tell of.
import { useQuery } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { Modal } from "../../ui/Modal";
import { type ModelForm, modelFormOf, termsOf } from "./modelForm";
import { listedQuery, type Model, type Provider, useRemoveModel, useSetModel } from "./queries";

interface ModelDialogProps {
  provider: Provider;
  model: Model;
  onClose: () => void;
}

export function ModelDialog({ provider, model, onClose }: ModelDialogProps) {
  const [removing, setRemoving] = useState(false);
  const removal = useRemoveModel(provider.id);
  return (
    <Modal open onClose={onClose} title={model.id} description={`A model of ${provider.name}.`}>
      <TermsForm provider={provider} model={model} onClose={onClose} />
      <div className="mt-5 border-t border-line pt-4">
        <Button look="plain" className="-ml-2 h-9 px-2 text-danger" onClick={() => setRemoving(true)}>
          <Trash2 aria-hidden className="size-4" /> Remove this model…
        </Button>
      </div>
      {removing && (
        <Confirm
          title={`Remove ${model.id}?`}
          action="Remove"
          busy={removal.isPending}
          error={removal.error}
          onConfirm={() => removal.mutate(model.id, { onSuccess: onClose })}
          onClose={() => setRemoving(false)}
        >
          {model.roles?.length
            ? `It is asked for: ${model.roles.join(", ")}. These roles lose it.`
            : "No role leads to it. Whoever asks for it by name is told that it is unknown."}
        </Confirm>
      )}
    </Modal>
  );
}

export function AddModelDialog({ provider, onClose }: { provider: Provider; onClose: () => void }) {
  const listed = useQuery(listedQuery(provider.id));
  const [id, setId] = useState("");
  const unknown = listed.data?.filter((model) => !model.is_known) ?? [];
  const found = unknown.find((model) => model.id === id);
  return (
    <Modal
      open
      onClose={onClose}
      title="Add a model"
      description={`To ${provider.name}, also one that it does not list.`}
    >
      <Field
        label="Model"
        autoFocus
        required
        maxLength={200}
        list="listed-models"
        autoComplete="off"
        spellCheck={false}
        className="mb-4"
        value={id}
        onChange={(event) => setId(event.target.value)}
        hint={listedHint(listed.isPending, listed.error, unknown.length)}
      />
      <datalist id="listed-models">
        {unknown.map((model) => (
          <option key={model.id} value={model.id} />
        ))}
      </datalist>
      <TermsForm
        // What the provider says of the context fills the form of the model that was picked.
        key={found?.id ?? ""}
        provider={provider}
        model={{ id: id.trim(), provider: provider.name, context: found?.context ?? null }}
        onClose={onClose}
      />
    </Modal>
  );
}

function listedHint(isPending: boolean, error: Error | null, count: number): string {
  if (isPending) return "Asking the provider what it lists…";
  if (error) return `It could not be asked what it lists: ${error.message}`;
  if (count === 0) return "All that it lists is here already.";
  return count === 1 ? "It lists 1 that is not here yet." : `It lists ${count} that are not here yet.`;
}

const prices: { name: keyof ModelForm["price"]; label: string }[] = [
  { name: "input_usd", label: "Input" },
  { name: "output_usd", label: "Output" },
  { name: "cached_input_usd", label: "Cached input" },
  { name: "cache_write_usd", label: "Cache writing" },
  { name: "reasoning_usd", label: "Reasoning" },
];

const abilities = ["chat", "embedding", "rerank", "vision", "tools", "tool_shim"];

function TermsForm({ provider, model, onClose }: ModelDialogProps) {
  const [form, setForm] = useState(() => modelFormOf(model));
  const [tried, setTried] = useState(false);
  const saving = useSetModel(provider.id);
  const { terms, problems } = termsOf(form);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (terms) saving.mutate({ id: model.id, terms }, { onSuccess: onClose });
  };
  const toggle = (name: string) =>
    setForm({
      ...form,
      capabilities: form.capabilities.includes(name)
        ? form.capabilities.filter((one) => one !== name)
        : [...form.capabilities, name],
    });
  return (
    <form onSubmit={submit} className="space-y-4">
      <fieldset>
        <legend className="mb-1.5 font-medium">Can do</legend>
        <div className="flex flex-wrap gap-x-5 gap-y-2">
          {[...new Set([...abilities, ...form.capabilities])].map((name) => (
            <label key={name} className="flex items-center gap-2">
              <input
                type="checkbox"
                className="size-4 accent-(--accent)"
                checked={form.capabilities.includes(name)}
                onChange={() => toggle(name)}
              />
              {name}
            </label>
          ))}
        </div>
        <p className="mt-1.5 text-sm text-ink-3">
          Without chat, embedding or rerank it is taken for any of them. tool_shim tells tools in the prompt,
          for models that know none.
        </p>
      </fieldset>
      <Field
        label="Context in tokens"
        inputMode="numeric"
        autoComplete="off"
        value={form.context}
        onChange={(event) => setForm({ ...form, context: event.target.value })}
        error={tried ? problems.context : null}
        hint="Empty where nobody said."
      />
      <fieldset className="rounded-xl border border-line p-4">
        <legend className="px-1 font-medium">Price in dollars per million tokens</legend>
        <div className="grid grid-cols-2 gap-4 sm:grid-cols-3">
          {prices.map(({ name, label }) => (
            <Field
              key={name}
              label={label}
              inputMode="decimal"
              autoComplete="off"
              value={form.price[name]}
              onChange={(event) => setForm({ ...form, price: { ...form.price, [name]: event.target.value } })}
              error={tried ? problems[name] : null}
            />
          ))}
        </div>
        <p className="mt-3 text-sm text-ink-3">
          All empty: the price of the operator’s file or of the public list holds, if there is one. A kind
          without a price of its own costs what its direction costs.
        </p>
      </fieldset>
      {saving.error && <Failure error={saving.error} />}
      <div className="flex justify-end gap-2">
        <Button look="quiet" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" busy={saving.isPending} disabled={!model.id}>
          Save
        </Button>
      </div>
    </form>
  );
}
