// The guardrail's policy, and what it would make of a text.
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";

type Schemas = components["schemas"];
export type Policy = Schemas["Policy"];
export type Verdict = Schemas["CheckAnswer"];
export type Direction = "input" | "output";

/** Whose policy: everyone's when both are empty. */
export interface Target {
  agent_id: string;
  key_id: string;
}

export function policyQuery(target: Target) {
  return queryOptions({
    queryKey: ["guard", "policy", target],
    queryFn: () =>
      answer(
        api.GET("/v1/guard/policy", {
          params: { query: { agent_id: target.agent_id, key_id: target.key_id } },
        }),
      ),
  });
}

export function useSetPolicy(target: Target) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (policy: Policy) => answer(api.PUT("/v1/guard/policy", { body: { ...policy, ...target } })),
    onSuccess: (saved) => {
      queryClient.setQueryData(policyQuery(target).queryKey, saved);
      return queryClient.invalidateQueries({ queryKey: ["guard", "verdict"] });
    },
  });
}

/** `agent`: under that agent's policy; empty for the caller's own chats. */
export function verdictQuery(direction: Direction, content: string, agent: string) {
  return queryOptions({
    queryKey: ["guard", "verdict", direction, content, agent],
    queryFn: () =>
      answer(api.POST(`/v1/guard/${direction}`, { body: { content, scope: { agent_id: agent || null } } })),
    enabled: content.trim() !== "",
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    retry: false,
  });
}
