// The form of a provider, and what of it is another than before.
import type { Adapter, Provider, ProviderChange } from "./queries";

export interface ProviderForm {
  name: string;
  base_url: string;
  api_key: string;
  remove_key: boolean;
  type: Provider["type"];
  adapter: Adapter;
  max_concurrency: string;
  max_waiting: string;
  queue_seconds: string;
}

export function formOf(provider: Provider): ProviderForm {
  return {
    name: provider.name,
    base_url: provider.base_url,
    api_key: "",
    remove_key: false,
    type: provider.type,
    adapter: provider.adapter ?? "chat_completions",
    max_concurrency: provider.max_concurrency?.toString() ?? "",
    max_waiting: String(provider.max_waiting ?? 100),
    queue_seconds: String(provider.queue_seconds ?? 30),
  };
}

/** Only what differs. What is no number is sent as it was typed, and the server says what it takes. */
export function changeOf(provider: Provider, form: ProviderForm): ProviderChange {
  const before = formOf(provider);
  const change: Record<string, unknown> = {};
  for (const name of ["name", "base_url", "type", "adapter"] as const) {
    if (form[name].trim() !== before[name]) change[name] = form[name].trim();
  }
  for (const name of ["max_concurrency", "max_waiting", "queue_seconds"] as const) {
    if (form[name].trim() !== before[name]) change[name] = numberOrText(form[name].trim());
  }
  if (form.remove_key) change.api_key = null;
  else if (form.api_key.trim()) change.api_key = form.api_key.trim();
  return change as ProviderChange;
}

function numberOrText(text: string): number | string | null {
  if (text === "") return null;
  const number = Number(text.replace(",", "."));
  return Number.isNaN(number) ? text : number;
}
