// The administration's view of providers, models and roles, and the ways to change it.
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";

type Schemas = components["schemas"];
export type Provider = Schemas["Provider"];
export type Model = Schemas["Model"];
export type Price = Schemas["Price"];
export type PricedModel = Schemas["PricedModel"];
export type PriceList = Schemas["PriceList"];
export type ProviderTest = Schemas["ProviderTest"];
export type NewProvider = Schemas["NewProvider"];
export type ProviderChange = Schemas["ProviderChange"];
export type ModelTerms = Schemas["ModelTerms"];
export type Bundle = Schemas["Bundle"];
export type Adapter = NonNullable<Provider["adapter"]>;

const LIVE_MS = 5000;

/** Health and calls under way change by themselves. */
export const providersQuery = queryOptions({
  queryKey: ["inference", "providers"],
  queryFn: () => answer(api.GET("/v1/admin/inference/providers")),
  refetchInterval: LIVE_MS,
});

export const rolesQuery = queryOptions({
  queryKey: ["inference", "roles"],
  queryFn: () => answer(api.GET("/v1/admin/inference/roles")),
});

export const bundleQuery = queryOptions({
  queryKey: ["inference", "bundle"],
  queryFn: () => answer(api.GET("/v1/admin/inference/bundle")),
});

export const pricesQuery = queryOptions({
  queryKey: ["prices"],
  queryFn: () => answer(api.GET("/v1/admin/observability/prices")),
  staleTime: 60_000,
});

/** Fetches the public list on the server; what is shown of it is what came. */
export function useRefreshPrices() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: () => answer(api.POST("/v1/admin/observability/prices/refresh")),
    onSettled: () => queryClient.invalidateQueries({ queryKey: pricesQuery.queryKey }),
  });
}

export function metricsQuery(provider: string) {
  return queryOptions({
    queryKey: ["engine", provider],
    queryFn: () =>
      answer(
        api.GET("/v1/admin/inference/providers/{provider_id}/metrics", {
          params: { path: { provider_id: provider } },
        }),
      ),
    refetchInterval: LIVE_MS,
    retry: false,
  });
}

/** What a provider lists now: asked of the provider itself, so only when somebody wants to add a model. */
export function listedQuery(provider: string) {
  return queryOptions({
    queryKey: ["listed", provider],
    queryFn: () =>
      answer(
        api.GET("/v1/admin/inference/providers/{provider_id}/models", {
          params: { path: { provider_id: provider } },
        }),
      ),
    retry: false,
  });
}

export function useAddProvider() {
  return useChange((body: NewProvider) => answer(api.POST("/v1/admin/inference/providers", { body })));
}

export function useChangeProvider(provider: string) {
  return useChange((body: ProviderChange) =>
    answer(
      api.PATCH("/v1/admin/inference/providers/{provider_id}", {
        params: { path: { provider_id: provider } },
        body,
      }),
    ),
  );
}

export function useRemoveProvider(provider: string) {
  return useChange(() =>
    answer(
      api.DELETE("/v1/admin/inference/providers/{provider_id}", {
        params: { path: { provider_id: provider } },
      }),
    ),
  );
}

/** Changes nothing but what is known of the provider's health. */
export function useTestProvider(provider: string) {
  return useChange(() =>
    answer(
      api.POST("/v1/admin/inference/providers/{provider_id}/test", {
        params: { path: { provider_id: provider } },
      }),
    ),
  );
}

export function useSetModel(provider: string) {
  return useChange(({ id, terms }: { id: string; terms: ModelTerms }) =>
    answer(
      api.PUT("/v1/admin/inference/providers/{provider_id}/models/{model_id}", {
        params: { path: { provider_id: provider, model_id: id } },
        pathSerializer: keepSlashes,
        body: terms,
      }),
    ),
  );
}

export function useRemoveModel(provider: string) {
  return useChange((id: string) =>
    answer(
      api.DELETE("/v1/admin/inference/providers/{provider_id}/models/{model_id}", {
        params: { path: { provider_id: provider, model_id: id } },
        pathSerializer: keepSlashes,
      }),
    ),
  );
}

/** Ids such as `Qwen/Qwen3-32B` stand in the path as they are: the server refuses an encoded slash. */
function keepSlashes(path: string, values: Record<string, unknown>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) =>
    String(values[name]).split("/").map(encodeURIComponent).join("/"),
  );
}

/** `models` in the order in which they are asked; none unsets the role. */
export function useSetRole(alias: string) {
  return useChange((models: string[]) =>
    answer(
      api.PUT("/v1/admin/inference/roles/{alias}", {
        params: { path: { alias } },
        body: { model: models[0] ?? null, fallbacks: models.slice(1) },
      }),
    ),
  );
}

export function useEndStaging(way: "apply" | "discard") {
  return useChange((revision: number) =>
    answer(api.POST(`/v1/admin/inference/bundle/${way}`, { params: { query: { revision } } })),
  );
}

/** Whatever came of it, the page and the chat's list of models are read anew. */
function useChange<Variables, Data>(change: (variables: Variables) => Promise<Data>) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () =>
      Promise.all([
        queryClient.invalidateQueries({ queryKey: ["inference"] }),
        queryClient.invalidateQueries({ queryKey: ["models"] }),
      ]),
  });
}
