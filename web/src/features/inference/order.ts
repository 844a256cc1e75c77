// The order in which a role asks its models.
import type { Model, Provider } from "./queries";

/** The list with one entry at another place; the same list where that place does not exist. */
export function moved<T>(list: T[], from: number, to: number): T[] {
  const item = list[from];
  if (item === undefined || to < 0 || to >= list.length) return list;
  return list.toSpliced(from, 1).toSpliced(to, 0, item);
}

const KINDS = ["chat", "embedding", "rerank"];

/** Whether a model can serve a role; one that names none of the kinds may serve any. */
export function fits(model: Model, role: string): boolean {
  const kinds = (model.capabilities ?? []).filter((name) => KINDS.includes(name));
  const wanted = role === "embedding" || role === "rerank" ? role : "chat";
  return kinds.length === 0 || kinds.includes(wanted);
}

export interface Choice {
  /** `provider/model`, as roles name it. */
  name: string;
  id: string;
}

/** What may still be added to `order`. Whoever stands in for an embedding model must be the same model. */
export function choicesFor(role: string, providers: Provider[], order: string[]): Choice[] {
  const all = providers.flatMap((provider) =>
    (provider.models ?? [])
      .filter((model) => fits(model, role))
      .map((model) => ({ name: `${provider.name}/${model.id}`, id: model.id })),
  );
  const first = all.find(({ name }) => name === order[0]);
  return all.filter(
    ({ name, id }) => !order.includes(name) && (role !== "embedding" || !first || first.id === id),
  );
}
