// The history of chats, as the server keeps it.
import {
  infiniteQueryOptions,
  keepPreviousData,
  useInfiniteQuery,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { answer, api } from "../../api/client";

export function sessionsQuery(search: string) {
  return infiniteQueryOptions({
    queryKey: ["sessions", search],
    queryFn: ({ pageParam }) =>
      answer(
        api.GET("/v1/sessions", {
          params: { query: { limit: 50, q: search || undefined, cursor: pageParam || undefined } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor || undefined,
    placeholderData: keepPreviousData,
  });
}

export async function createSession(): Promise<string> {
  const created = await answer(api.POST("/v1/sessions", { body: {} }));
  return created.sessionId;
}

export function useChangeSession() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...change }: { id: string; title?: string; pinned?: boolean }) =>
      answer(api.PATCH("/v1/sessions/{session_id}", { params: { path: { session_id: id } }, body: change })),
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["sessions"] }),
  });
}

export function useDeleteSession() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      answer(api.DELETE("/v1/sessions/{session_id}", { params: { path: { session_id: id } } })),
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["sessions"] }),
  });
}

/** The title as the loaded history has it. */
export function useSessionTitle(sessionId: string | null): string {
  const pages = useInfiniteQuery(sessionsQuery("")).data?.pages ?? [];
  const found = pages.flatMap((page) => page.sessions).find((session) => session.sessionId === sessionId);
  return found?.title ?? "";
}
