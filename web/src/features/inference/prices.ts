// Where the price of a model comes from, in the order in which the server looks (docs/observability.md).
import type { Model, Price, PricedModel, PriceList, Provider } from "./queries";

export type PriceSource = "model" | "file" | "list" | "ours" | "unknown";

export interface KnownPrice {
  price: Price | null;
  source: PriceSource;
}

export const sourceWords: Record<PriceSource, string> = {
  model: "set here",
  file: "operator’s file",
  list: "public list",
  ours: "served here, costs nothing",
  unknown: "not known",
};

/** The model's own price, then the file's, then (not for what is served here) the public list's. */
export function priceOf(model: Model, type: Provider["type"], listed: PricedModel[]): KnownPrice {
  if (model.price) return { price: model.price, source: "model" };
  const names = [`${model.provider}/${model.id}`, model.id];
  const from = (source: PricedModel["source"], wanted: string) =>
    listed.find((priced) => priced.source === source && priced.model === wanted);
  const file = names.map((name) => from("file", name)).find(Boolean);
  if (file) return { price: file, source: "file" };
  if (type !== "external") return { price: null, source: "ours" };
  const list = names.map((name) => from("list", name)).find(Boolean) ?? byTail(model.id, listed);
  return list ? { price: list, source: "list" } : { price: null, source: "unknown" };
}

/** By the model's id without the maker's name, where all makers of the list agree; `:free` is another offer. */
function byTail(id: string, listed: PricedModel[]): PricedModel | undefined {
  const tails = listed.filter(
    ({ source, model }) =>
      source === "list" && !model.includes(":") && /^[^/]+\/(.*)$/.exec(model)?.[1] === id,
  );
  const terms = new Set(tails.map(({ model: _, as_of: __, ...price }) => JSON.stringify(price)));
  return terms.size === 1 ? tails[0] : undefined;
}

/** How many prices the public list has, and from when. */
export function listWords(
  { prices, fetched_at }: Pick<PriceList, "prices" | "fetched_at">,
  time: (at: string) => string,
  count: (n: number) => string,
): string {
  const listed = prices.filter(({ source }) => source === "list").length;
  const filed = prices.filter(({ source }) => source === "file").length;
  const file = filed ? ` The operator’s file has ${count(filed)}.` : "";
  if (!fetched_at) return `The public list was never fetched.${file}`;
  return `${count(listed)} ${listed === 1 ? "price" : "prices"} of the public list, fetched ${time(fetched_at)}.${file}`;
}
