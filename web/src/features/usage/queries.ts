// What was used and spent, the budgets, and the traces of turns.
import {
  infiniteQueryOptions,
  queryOptions,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";
import { mayAdmin } from "../admin/entries";
import { useMe } from "../auth/session";
import type { Span } from "./periods";

type Schemas = components["schemas"];
export type UsageReport = Schemas["UsageReport"];
export type UsageRow = Schemas["UsageRow"];
export type Budget = Schemas["BudgetState"];
export type Balance = Schemas["Balance"];
export type BudgetBody = Schemas["BudgetBody"];
export type BudgetPatch = Schemas["BudgetPatch"];
export type Trace = Schemas["Trace"];
export type TraceSpan = Trace["spans"][number];
export type TraceSummary = Schemas["TraceSummary"];
export type Dimension = "model" | "user" | "key" | "agent";

export function usageQuery(by: Dimension, { from, to }: Span) {
  const dimensions = `${by},day`;
  return queryOptions({
    queryKey: ["usage", dimensions, from, to],
    queryFn: async () => {
      const report = await answer(
        api.GET("/v1/admin/observability/usage", { params: { query: { by: dimensions, from, to } } }),
      );
      // OpenAPI joins the CSV, which this does not ask for.
      return report as UsageReport;
    },
  });
}

/** The same rows as the table shows, added up over the days: the browser's own download. */
export function csvAddress(by: Dimension, { from, to }: Span): string {
  return `/v1/admin/observability/usage?${new URLSearchParams({ by, from, to, format: "csv" })}`;
}

export const ownUsageQuery = queryOptions({
  queryKey: ["own-usage"],
  queryFn: () => answer(api.GET("/v1/usage/me")),
});

export const budgetsQuery = queryOptions({
  queryKey: ["budgets"],
  queryFn: async () => (await answer(api.GET("/v1/admin/observability/budgets"))).budgets,
});

/** Whether what was reserved and spent is what the log says. */
export const balanceQuery = queryOptions({
  queryKey: ["balance"],
  queryFn: () => answer(api.GET("/v1/admin/observability/balance")),
});

export const tracesQuery = infiniteQueryOptions({
  queryKey: ["traces"],
  queryFn: ({ pageParam }) =>
    answer(
      api.GET("/v1/admin/observability/traces", { params: { query: { cursor: pageParam ?? undefined } } }),
    ),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next_cursor,
});

export function traceQuery(turnId: string) {
  return queryOptions({
    queryKey: ["trace", turnId],
    queryFn: () =>
      answer(api.GET("/v1/admin/observability/traces/{turn_id}", { params: { path: { turn_id: turnId } } })),
    // A turn that is not over yet goes on.
    refetchInterval: (query) => (query.state.data && !query.state.data.is_over ? 2000 : false),
  });
}

export const peopleQuery = queryOptions({
  queryKey: ["people"],
  queryFn: async () => (await answer(api.GET("/v1/admin/users"))).users,
  staleTime: 60_000,
});

/** The name behind a pseudonym, for those who may see who is here; the pseudonym itself for others. */
export function usePeople(): { nameOf: (pseudonym: string) => string; people: Schemas["UserView"][] } {
  const me = useMe();
  const people = useQuery({ ...peopleQuery, enabled: mayAdmin(me, "manage_users") }).data ?? [];
  return {
    people,
    nameOf: (pseudonym) => {
      const person = people.find((one) => one.pseudonym === pseudonym);
      return person ? person.name || person.email : pseudonym;
    },
  };
}

export function useAddBudget() {
  return useBudgetChange((body: BudgetBody) => answer(api.POST("/v1/admin/observability/budgets", { body })));
}

export function useChangeBudget(id: string) {
  return useBudgetChange((body: BudgetPatch) =>
    answer(
      api.PATCH("/v1/admin/observability/budgets/{budget_id}", {
        params: { path: { budget_id: id } },
        body,
      }),
    ),
  );
}

export function useRemoveBudget(id: string) {
  return useBudgetChange(() =>
    answer(
      api.DELETE("/v1/admin/observability/budgets/{budget_id}", { params: { path: { budget_id: id } } }),
    ),
  );
}

function useBudgetChange<Variables, Data>(change: (variables: Variables) => Promise<Data>) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["budgets"] }),
  });
}
