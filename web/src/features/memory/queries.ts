// What is remembered of the signed-in person, and the ways to change it.
import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";

type Schemas = components["schemas"];
export type Memory = Schemas["MemoryBody"];
export type NewMemory = Pick<Schemas["StoreBody"], "content" | "memory_type" | "kind">;

export const memoriesQuery = infiniteQueryOptions({
  queryKey: ["memory", "list"],
  queryFn: ({ pageParam }) =>
    answer(api.GET("/v1/memory", { params: { query: { limit: 50, cursor: pageParam || undefined } } })),
  initialPageParam: "",
  getNextPageParam: (page) => page.next_cursor || undefined,
});

export function foundQuery(query: string) {
  return queryOptions({
    queryKey: ["memory", "found", query],
    queryFn: () => answer(api.POST("/v1/memory/search", { body: { query, limit: 20 } })),
    enabled: query !== "",
  });
}

export function memoryQuery(id: string) {
  return queryOptions({
    queryKey: ["memory", "one", id],
    queryFn: () => answer(api.GET("/v1/memory/{memory_id}", { params: { path: { memory_id: id } } })),
    retry: false,
  });
}

export function historyQuery(id: string) {
  return queryOptions({
    queryKey: ["memory", "history", id],
    queryFn: () => answer(api.GET("/v1/memory/{memory_id}/history", { params: { path: { memory_id: id } } })),
  });
}

export const switchQuery = queryOptions({
  queryKey: ["memory", "switch"],
  queryFn: () => answer(api.GET("/v1/memory/switch")),
});

export function useStore() {
  return useChange((body: NewMemory) => answer(api.POST("/v1/memory", { body })));
}

export function useUpdate(id: string) {
  return useChange((content: string) =>
    answer(api.PUT("/v1/memory/{memory_id}", { params: { path: { memory_id: id } }, body: { content } })),
  );
}

export function useDelete(id: string) {
  return useChange(() =>
    answer(api.DELETE("/v1/memory/{memory_id}", { params: { path: { memory_id: id } } })),
  );
}

export function useErase() {
  return useChange(() => answer(api.DELETE("/v1/memory")));
}

/** Shown at once, and taken back when the server refuses. */
export function useSwitch() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (enabled: boolean) => answer(api.PUT("/v1/memory/switch", { body: { enabled } })),
    onMutate: async (enabled) => {
      await queryClient.cancelQueries(switchQuery);
      const before = queryClient.getQueryData(switchQuery.queryKey);
      queryClient.setQueryData(switchQuery.queryKey, { enabled });
      return before;
    },
    onError: (_error, _enabled, before) => queryClient.setQueryData(switchQuery.queryKey, before),
    onSettled: () => queryClient.invalidateQueries(switchQuery),
  });
}

/** The whole of it as a file, made here: a plain link could not tell of a refusal. */
export function useExport() {
  return useMutation({
    mutationFn: async () => {
      const told = await answer(api.GET("/v1/memory/export"));
      const url = URL.createObjectURL(
        new Blob([JSON.stringify(told, null, 2)], { type: "application/json" }),
      );
      const link = document.createElement("a");
      link.href = url;
      link.download = "memories.json";
      link.click();
      URL.revokeObjectURL(url);
    },
  });
}

function useChange<Variables, Data>(change: (variables: Variables) => Promise<Data>) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["memory"] }),
  });
}
