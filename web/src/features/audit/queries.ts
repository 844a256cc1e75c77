// The tenant's events, a page at a time.
import { infiniteQueryOptions } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";
import { type ActivityFilter, queryOf } from "./filters";

export type FoundEvent = components["schemas"]["FoundEvent"];
export type Verification = components["schemas"]["Verification"];

const PAGE = 100;

export function activityQuery(filter: ActivityFilter) {
  return infiniteQueryOptions({
    queryKey: ["activity", filter],
    queryFn: ({ pageParam }) =>
      answer(
        api.GET("/v1/admin/audit", {
          params: { query: { ...queryOf(filter), limit: PAGE, offset: pageParam } },
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: (page) => (page.events.length < page.limit ? null : page.offset + page.limit),
  });
}
