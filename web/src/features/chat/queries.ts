// The stored side of a chat: its items, its runs, what waits for a word, the models that may answer.
import { queryOptions, useMutation } from "@tanstack/react-query";
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

/** What was given to a tool and what it gave, as the turn's record has it. */
export interface RecordedUse {
  given: string | null;
  gave: string | null;
  /** The code of what went wrong, if something did. */
  failure: string;
}

/** The uses of tools in a turn, by their calls. The record is read once the turn is sealed. */
export function recordedQuery(turnId: string) {
  return queryOptions({
    queryKey: ["recorded-tools", turnId],
    queryFn: async (): Promise<Record<string, RecordedUse>> => {
      const path = { turn_id: turnId };
      const { events } = await answer(api.GET("/v1/audit/turns/{turn_id}/replay", { params: { path } }));
      const uses: Record<string, RecordedUse> = {};
      for (const { type, body, artifacts } of events) {
        const text = artifacts[0]?.text ?? null;
        const known = uses[String(body.call)] ?? { given: null, gave: null, failure: "" };
        // What a person has changed in what was asked for is in the call itself, which comes after.
        if (type === "approval_requested" || type === "tool_called") {
          uses[String(body.call)] = { ...known, given: text };
        } else if (type === "tool_returned") {
          uses[String(body.call)] = { ...known, gave: text, failure: String(body.code ?? "") };
        }
      }
      return uses;
    },
  });
}

/** What a person says to a tool that asks: with `edited`, yes to these arguments instead. */
export interface Word {
  approve: boolean;
  edited?: Record<string, unknown>;
}

export function useDecide(approvalId: string) {
  return useMutation({
    mutationFn: ({ approve, edited }: Word) => {
      const params = { path: { approval_id: approvalId } };
      return answer(
        approve
          ? api.POST("/v1/user/approvals/{approval_id}/approve", {
              params,
              body: edited ? { arguments: edited } : null,
            })
          : api.POST("/v1/user/approvals/{approval_id}/deny", { params }),
      );
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
