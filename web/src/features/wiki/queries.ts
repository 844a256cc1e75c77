// The wiki's pages, their versions, and what changed between two.
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";

type Schemas = components["schemas"];
export type WikiPage = Schemas["Page"];
export type NewVersion = Schemas["PageBody"];

export const pagesQuery = queryOptions({
  queryKey: ["wiki", "pages"],
  queryFn: () => answer(api.GET("/v1/knowledge/wiki")),
});

export function pageQuery(topic: string) {
  return queryOptions({
    queryKey: ["wiki", "page", topic],
    queryFn: () => answer(api.GET("/v1/knowledge/wiki/{topic}", { params: { path: { topic } } })),
  });
}

export function versionsQuery(topic: string) {
  return queryOptions({
    queryKey: ["wiki", "versions", topic],
    queryFn: () => answer(api.GET("/v1/knowledge/wiki/{topic}/versions", { params: { path: { topic } } })),
  });
}

export function diffQuery(topic: string, older: number, newer: number) {
  return queryOptions({
    queryKey: ["wiki", "diff", topic, older, newer],
    queryFn: () =>
      answer(
        api.GET("/v1/knowledge/wiki/{topic}/diff", {
          params: { path: { topic }, query: { old: older, new: newer } },
        }),
      ),
    enabled: older !== newer,
    // Versions never change.
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export function useSavePage() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (body: NewVersion) => answer(api.POST("/v1/knowledge/wiki", { body })),
    onSuccess: (page) => {
      queryClient.setQueryData(pageQuery(page.topic).queryKey, page);
      return Promise.all([
        queryClient.invalidateQueries({ queryKey: ["wiki"] }),
        queryClient.invalidateQueries({ queryKey: ["knowledge"] }),
      ]);
    },
  });
}

export function useDeletePage(topic: string) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: () => answer(api.DELETE("/v1/knowledge/wiki/{topic}", { params: { path: { topic } } })),
    onSuccess: () => {
      queryClient.removeQueries({ queryKey: ["wiki", "page", topic] });
      return queryClient.invalidateQueries({ queryKey: ["wiki", "pages"] });
    },
  });
}
