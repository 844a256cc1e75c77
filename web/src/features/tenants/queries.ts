// The tenants of an installation of several, for who runs it.
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";
import { useFresh } from "../auth/fresh";

type Schemas = components["schemas"];
export type Tenant = Schemas["Tenant"];
export type NewTenant = Schemas["TenantBody"];

export const tenantsQuery = queryOptions({
  queryKey: ["tenants"],
  queryFn: () => answer(api.GET("/v1/admin/tenants")),
  select: ({ tenants }) => tenants,
});

export function useAddTenant() {
  return useChange((body: NewTenant) => answer(api.POST("/v1/admin/tenants", { body })));
}

export function useSetStatus(tenant_id: string) {
  return useChange((status: "active" | "suspended") =>
    answer(api.PATCH("/v1/admin/tenants/{tenant_id}", { params: { path: { tenant_id } }, body: { status } })),
  );
}

/** Entering and leaving load the page anew: nothing of the tenant before stays in memory. */
export function useEnter(tenant_id: string) {
  const fresh = useFresh();
  return useMutation({
    mutationFn: () =>
      fresh(() =>
        answer(api.POST("/v1/admin/tenants/{tenant_id}/enter", { params: { path: { tenant_id } } })),
      ),
    onSuccess: () => window.location.assign("/admin"),
  });
}

export function useLeave() {
  return useMutation({
    mutationFn: () => answer(api.POST("/v1/admin/tenants/leave")),
    onSuccess: () => window.location.assign("/admin/tenants"),
  });
}

function useChange<Variables, Data>(change: (variables: Variables) => Promise<Data>) {
  const queryClient = useQueryClient();
  const fresh = useFresh();
  return useMutation({
    mutationFn: (variables: Variables) => fresh(() => change(variables)),
    onSettled: () => queryClient.invalidateQueries({ queryKey: tenantsQuery.queryKey }),
  });
}
