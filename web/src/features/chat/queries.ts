// The stored side of a chat: its items, its runs, the models that may answer.
import { queryOptions } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { Item, Model } from "../../api/types";

/** All items: branches can only be told apart with the whole tree. */
export function itemsQuery(sessionId: string) {
  return queryOptions({
    queryKey: ["items", sessionId],
    queryFn: async (): Promise<Item[]> => {
      const items: Item[] = [];
      let cursor: string | undefined;
      do {
        const page = await answer(
          api.GET("/v1/conversations/{conversation_id}/items", {
            params: { path: { conversation_id: sessionId }, query: { limit: 200, cursor } },
          }),
        );
        // OpenAPI knows usage only as an object.
        items.push(...(page.items as Item[]));
        cursor = page.next_cursor ?? undefined;
      } while (cursor);
      return items;
    },
  });
}

export function runsQuery(sessionId: string) {
  return queryOptions({
    queryKey: ["runs", sessionId],
    queryFn: async () => {
      const list = await answer(
        api.GET("/v1/conversations/{conversation_id}/runs", {
          params: { path: { conversation_id: sessionId } },
        }),
      );
      return list.runs.toSorted((a, b) => (a.started_at ?? "").localeCompare(b.started_at ?? ""));
    },
  });
}

export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: async (): Promise<Model[]> => {
    // OpenAPI knows OpenAI's list only as an object.
    const list = (await answer(api.GET("/v1/models"))) as { data: Model[] };
    return list.data;
  },
  staleTime: 60_000,
});

/** The model that answers unless another is asked for. */
export function defaultModel(models: Model[]): Model | undefined {
  return models.find((model) => model.aibox.roles.includes("default"));
}
