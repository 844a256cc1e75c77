// Other sign-in services as administrators see them, and what they decide of each.
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";
import { useFresh } from "../auth/fresh";

type Schemas = components["schemas"];
export type Service = Schemas["SignInServiceView"];
export type Examined = Schemas["Examined"];
export type Mapping = Schemas["GroupsBody"];

export const servicesQuery = queryOptions({
  queryKey: ["sign-in-services"],
  queryFn: () => answer(api.GET("/v1/admin/sso/idps")),
});

export function useMapGroups(alias: string) {
  const queryClient = useQueryClient();
  const fresh = useFresh();
  return useMutation({
    mutationFn: (body: Mapping) =>
      fresh(() =>
        answer(api.PUT("/v1/admin/sso/idps/{alias}/groups", { params: { path: { alias } }, body })),
      ),
    onSettled: () => queryClient.invalidateQueries({ queryKey: servicesQuery.queryKey }),
  });
}

export function useCheck(alias: string) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: () => answer(api.POST("/v1/admin/sso/idps/{alias}/check", { params: { path: { alias } } })),
    onSettled: () => queryClient.invalidateQueries({ queryKey: servicesQuery.queryKey }),
  });
}

export function useExamine(alias: string) {
  return useMutation({
    mutationFn: (token: string) =>
      answer(api.POST("/v1/admin/sso/idps/{alias}/test", { params: { path: { alias } }, body: { token } })),
  });
}

/** Leaves for the other service, which sends back to this page. */
export function useBeginTest(alias: string) {
  return useMutation({
    mutationFn: () =>
      answer(api.POST("/v1/admin/sso/idps/{alias}/test/begin", { params: { path: { alias } } })),
    onSuccess: ({ address }) => window.location.assign(address),
  });
}

export function useTested() {
  return useMutation({
    mutationFn: (test: string) => answer(api.POST("/v1/admin/sso/tested", { body: { test } })),
  });
}
