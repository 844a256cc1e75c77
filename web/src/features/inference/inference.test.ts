// What the inference page works out: health, prices and their sources, the order of a role, and what a form changes.
import { describe, expect, test } from "vitest";
import { modelFormOf, termsOf } from "./modelForm";
import { choicesFor, moved } from "./order";
import { listWords, priceOf } from "./prices";
import { changeOf, formOf } from "./providerForm";
import type { Model, PricedModel, Provider } from "./queries";
import { healthOf, loadWords, priceText, testSentence } from "./words";

const model: Model = { id: "gpt-4o", provider: "openai", capabilities: ["chat", "tools"] };
const provider: Provider = {
  id: "1",
  name: "openai",
  type: "external",
  adapter: "responses",
  base_url: "https://api.openai.com/v1",
  has_key: true,
  enabled: true,
  max_waiting: 100,
  queue_seconds: 30,
  models: [model],
};
const now = new Date("2026-11-22T12:00:00Z");

describe("health", () => {
  test("a provider that is put off says until when, whatever else is known of it", () => {
    const cooling = { ...model, cools_until: "2026-11-22T12:01:00Z" };
    const health = healthOf({ ...provider, health: "down", models: [cooling] }, now);
    expect(health.tone).toBe("warn");
    expect(health.label).toMatch(/^Cooling until /);
  });

  test("a pause that is over is no pause", () => {
    const rested = { ...model, cools_until: "2026-11-22T11:59:00Z" };
    expect(healthOf({ ...provider, health: "ok", models: [rested] }, now).label).toBe("Healthy");
  });

  test("one that is switched off is neither healthy nor failing", () => {
    expect(healthOf({ ...provider, enabled: false, health: "down" }, now).label).toBe("Switched off");
  });

  test("calls under way are told with their cap and their line", () => {
    expect(loadWords({ ...provider, in_flight: 8, waiting: 3, max_concurrency: 8 })).toBe(
      "8 of 8 running, 3 waiting",
    );
    expect(loadWords(provider)).toBe("0 running");
  });

  test("a test that went well is one sentence", () => {
    expect(testSentence({ ok: true, latency_ms: 132, models: ["a"] })).toBe(
      "It answered in 132 ms and lists 1 model.",
    );
  });
});

describe("prices", () => {
  const listed = (model: string, input: string, source: PricedModel["source"] = "list"): PricedModel => ({
    model,
    input_usd: input,
    output_usd: "10",
    cached_input_usd: null,
    cache_write_usd: null,
    reasoning_usd: null,
    source,
    as_of: null,
  });

  test("the model's own price wins over the file's, and that over the list's", () => {
    const list = [listed("gpt-4o", "3"), listed("openai/gpt-4o", "2", "file")];
    const own = { input_usd: "1", output_usd: "1" };
    expect(priceOf({ ...model, price: own }, "external", list)).toEqual({ price: own, source: "model" });
    expect(priceOf(model, "external", list)).toMatchObject({ price: { input_usd: "2" }, source: "file" });
    expect(priceOf(model, "external", list.slice(0, 1))).toMatchObject({ source: "list" });
  });

  test("a maker's name is left out only where all makers agree", () => {
    const other: Model = { ...model, provider: "elsewhere" };
    expect(priceOf(other, "external", [listed("openai/gpt-4o", "2")]).source).toBe("list");
    const differing = [listed("openai/gpt-4o", "2"), listed("azure/gpt-4o", "3")];
    expect(priceOf(other, "external", differing).source).toBe("unknown");
  });

  test("what is served here costs nothing, whatever the public list says", () => {
    expect(priceOf(model, "vllm", [listed("gpt-4o", "3")])).toEqual({ price: null, source: "ours" });
  });

  test("a price is shown to its last digit", () => {
    expect(priceText({ input_usd: "2.5", output_usd: "10", cached_input_usd: "0.0375" })).toBe(
      "$2.50 in, $10.00 out, $0.0375 cached",
    );
  });
});

describe("the order of a role", () => {
  test("an entry moves, and stays where it cannot", () => {
    const order = ["a", "b", "c"];
    expect(moved(order, 2, 0)).toEqual(["c", "a", "b"]);
    expect(moved(order, 0, -1)).toBe(order);
    expect(moved(order, 2, 3)).toBe(order);
  });

  test("only models that can serve the role and are not in it yet are offered", () => {
    const embedder: Model = { id: "embed", provider: "openai", capabilities: ["embedding"] };
    const unsaid: Model = { id: "unsaid", provider: "openai", capabilities: [] };
    const providers = [{ ...provider, models: [model, embedder, unsaid] }];
    expect(choicesFor("default", providers, ["openai/unsaid"]).map((one) => one.name)).toEqual([
      "openai/gpt-4o",
    ]);
    expect(choicesFor("embedding", providers, []).map((one) => one.id)).toEqual(["embed", "unsaid"]);
  });

  test("an embedding model can be stood in for by itself only", () => {
    const embedder: Model = { id: "embed", provider: "x", capabilities: ["embedding"] };
    const providers = [
      { ...provider, name: "one", models: [embedder, { ...embedder, id: "other" }] },
      { ...provider, name: "two", models: [embedder] },
    ];
    expect(choicesFor("embedding", providers, ["one/embed"]).map((one) => one.name)).toEqual(["two/embed"]);
  });
});

describe("forms", () => {
  test("only what differs of a provider is sent, and an untouched key is not", () => {
    expect(changeOf(provider, formOf(provider))).toEqual({});
    const form = { ...formOf(provider), name: "main", max_concurrency: "8" };
    expect(changeOf(provider, form)).toEqual({ name: "main", max_concurrency: 8 });
  });

  test("a stored key is replaced or removed, never read", () => {
    expect(formOf(provider).api_key).toBe("");
    expect(changeOf(provider, { ...formOf(provider), api_key: " sk-2 " })).toEqual({ api_key: "sk-2" });
    expect(changeOf(provider, { ...formOf(provider), remove_key: true })).toEqual({ api_key: null });
  });

  test("an emptied cap means any number of calls", () => {
    const capped = { ...provider, max_concurrency: 8 };
    expect(changeOf(capped, { ...formOf(capped), max_concurrency: "" })).toEqual({ max_concurrency: null });
  });

  test("a price is exact text, and half a price is refused at its field", () => {
    const form = modelFormOf({ ...model, context: 128000 });
    const whole = { ...form, price: { ...form.price, input_usd: "$2,50", output_usd: "10" } };
    expect(termsOf(whole).terms).toEqual({
      capabilities: ["chat", "tools"],
      context: 128000,
      price: { input_usd: "2.50", output_usd: "10" },
    });
    const half = termsOf({ ...form, price: { ...form.price, input_usd: "2.5" } });
    expect(half.terms).toBeNull();
    expect(Object.keys(half.problems)).toEqual(["output_usd"]);
  });
});

describe("the price list", () => {
  const other = { cached_input_usd: null, cache_write_usd: null, reasoning_usd: null };
  const price = { input_usd: "1", output_usd: "2", as_of: "2026-11-01", ...other };
  const prices: PricedModel[] = [
    { ...price, model: "a/x", source: "list" },
    { ...price, model: "b/y", source: "file" },
  ];

  test("says how many prices it has and from when", () => {
    expect(listWords({ prices, fetched_at: "2026-11-22T12:00:00Z" }, (at) => at.slice(0, 10), String)).toBe(
      "1 price of the public list, fetched 2026-11-22. The operator’s file has 1.",
    );
  });

  test("says that it was never fetched", () => {
    expect(listWords({ prices: [], fetched_at: null }, String, String)).toBe(
      "The public list was never fetched.",
    );
  });
});
