// Documents, their passages and rights, and the search in them.
import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api, noticeRefusal, sessionHeaders } from "../../api/client";
import { readError, unreachable } from "../../api/errors";
import type { components } from "../../api/schema";
import { isReading } from "./words";

type Schemas = components["schemas"];
export type Document = Schemas["knowledge_Item"];
export type Stage = Document["stage"];
export type Visibility = Document["visibility_mode"];
export type Passage = Schemas["Passage"];
export type Result = Schemas["Result"];
export type Rights = Pick<Document, "visibility_mode" | "audience_tags" | "user_grants">;

export interface Filter {
  q: string;
  stage: Stage | "";
  archived: boolean;
}

const LIVE_MS = 1500;

/** Asked again while a document is being read. */
export function documentsQuery({ q, stage, archived }: Filter) {
  return infiniteQueryOptions({
    queryKey: ["knowledge", "documents", q, stage, archived],
    queryFn: ({ pageParam }) =>
      answer(
        api.GET("/v1/knowledge/items", {
          params: {
            query: { limit: 50, cursor: pageParam || undefined, q, stage: stage || undefined, archived },
          },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor || undefined,
    refetchInterval: ({ state }) =>
      state.data?.pages.some((page) => page.items.some(isReading)) ? LIVE_MS : false,
  });
}

export function documentQuery(id: string) {
  return queryOptions({
    queryKey: ["knowledge", "document", id],
    queryFn: () => answer(api.GET("/v1/knowledge/items/{item_id}", { params: { path: { item_id: id } } })),
    refetchInterval: ({ state }) => (state.data && isReading(state.data) ? LIVE_MS : false),
  });
}

export function passagesQuery(id: string) {
  return infiniteQueryOptions({
    queryKey: ["knowledge", "passages", id],
    queryFn: ({ pageParam }) =>
      answer(
        api.GET("/v1/knowledge/items/{item_id}/chunks", {
          params: { path: { item_id: id }, query: { limit: 30, cursor: pageParam } },
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: (page) => (page.next_cursor ? Number(page.next_cursor) : undefined),
  });
}

export function passageQuery(documentId: string, chunkId: string) {
  return queryOptions({
    queryKey: ["knowledge", "passage", documentId, chunkId],
    queryFn: () =>
      answer(
        api.GET("/v1/knowledge/items/{item_id}/chunks/{chunk_id}", {
          params: { path: { item_id: documentId, chunk_id: chunkId } },
        }),
      ),
  });
}

/** The passages around number `n`. */
export function aroundQuery(documentId: string, n: number | undefined) {
  const begin = Math.max(0, (n ?? 0) - 1);
  return queryOptions({
    queryKey: ["knowledge", "around", documentId, begin],
    queryFn: () =>
      answer(
        api.GET("/v1/knowledge/items/{item_id}/chunks", {
          params: { path: { item_id: documentId }, query: { limit: 3, cursor: begin } },
        }),
      ),
    enabled: n !== undefined,
  });
}

export function searchQuery(query: string) {
  return queryOptions({
    queryKey: ["knowledge", "search", query],
    queryFn: () => answer(api.POST("/v1/knowledge/search", { body: { query, limit: 10 } })),
    enabled: query !== "",
  });
}

/** Whom to share with by name: only who administers people may list them. */
export const peopleQuery = queryOptions({
  queryKey: ["people"],
  queryFn: () => answer(api.GET("/v1/admin/users")),
  staleTime: 60_000,
  retry: false,
});

/** A file as it is; the browser writes the form. */
export async function sendFile(file: File): Promise<void> {
  const form = new FormData();
  form.append("file", file, file.name);
  const response = await fetch("/v1/knowledge/ingest", {
    method: "POST",
    body: form,
    headers: sessionHeaders("/v1/knowledge/ingest"),
    credentials: "same-origin",
  }).catch(() => {
    throw unreachable();
  });
  if (response.ok) return;
  const error = await readError(response);
  noticeRefusal(error);
  throw error;
}

export function useAddText() {
  return useChange((body: { title: string; content: string }) =>
    answer(api.POST("/v1/knowledge/ingest/text", { body })),
  );
}

export function useAddUrl() {
  return useChange((body: { url: string; title: string }) =>
    answer(api.POST("/v1/knowledge/ingest/url", { body })),
  );
}

export function useChangeDocument(id: string) {
  return useChange((body: Schemas["ChangeBody"]) =>
    answer(api.PATCH("/v1/knowledge/items/{item_id}", { params: { path: { item_id: id } }, body })),
  );
}

/** Taking rights back needs no right to share. */
export function useSetRights(id: string) {
  return useChange(async ({ rights, confirmed }: { rights: Rights; confirmed: boolean }) => {
    if (rights.visibility_mode === "private") {
      await answer(
        api.PATCH("/v1/knowledge/items/{item_id}", { params: { path: { item_id: id } }, body: rights }),
      );
    } else {
      const body = { item_ids: [id], ...rights, confirm_tenant_wide: confirmed };
      await answer(api.POST("/v1/knowledge/items/share", { body }));
    }
  });
}

export function useRetry(id: string) {
  return useChange(() =>
    answer(api.POST("/v1/knowledge/items/{item_id}/retry", { params: { path: { item_id: id } } })),
  );
}

export function useDeleteDocument(id: string) {
  return useChange(() =>
    answer(api.DELETE("/v1/knowledge/items/{item_id}", { params: { path: { item_id: id } } })),
  );
}

function useChange<Variables, Data>(change: (variables: Variables) => Promise<Data>) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["knowledge"] }),
  });
}
