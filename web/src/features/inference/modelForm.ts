// The form of a model's terms, read into what the API takes.
import { amountFrom } from "../../ui/money";
import type { Model, ModelTerms, Price } from "./queries";

type Kind = keyof Price;

const KINDS: Kind[] = ["input_usd", "output_usd", "cached_input_usd", "cache_write_usd", "reasoning_usd"];

export interface ModelForm {
  capabilities: string[];
  context: string;
  price: Record<Kind, string>;
}

export function modelFormOf(model: Model): ModelForm {
  return {
    capabilities: model.capabilities ?? [],
    context: model.context?.toString() ?? "",
    price: Object.fromEntries(KINDS.map((kind) => [kind, model.price?.[kind] ?? ""])) as Record<Kind, string>,
  };
}

export interface ReadTerms {
  /** Null as long as there are problems. */
  terms: ModelTerms | null;
  problems: Partial<Record<Kind | "context", string>>;
}

export function termsOf(form: ModelForm): ReadTerms {
  const problems: ReadTerms["problems"] = {};
  const context = form.context.trim().replaceAll(/[,_\s]/g, "");
  if (context && !/^[1-9]\d{0,9}$/.test(context)) problems.context = "A whole number of tokens.";
  const given = KINDS.filter((kind) => form.price[kind].trim());
  for (const kind of given) {
    if (amountFrom(form.price[kind]) === null) problems[kind] = "An amount, such as 2.50.";
  }
  if (given.length > 0) {
    for (const kind of ["input_usd", "output_usd"] as const) {
      if (!given.includes(kind)) problems[kind] = "A price needs both input and output.";
    }
  }
  if (Object.keys(problems).length > 0) return { terms: null, problems };
  const price = Object.fromEntries(given.map((kind) => [kind, amountFrom(form.price[kind])]));
  return {
    terms: {
      capabilities: form.capabilities,
      context: context ? Number(context) : null,
      price: given.length > 0 ? (price as unknown as Price) : null,
    },
    problems,
  };
}
