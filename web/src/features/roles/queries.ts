// The roles of the tenant, and the ways to change them.
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";
import { useFresh } from "../auth/fresh";

type Schemas = components["schemas"];
export type Role = Schemas["Role"];
export type RoleRights = Schemas["RoleRights"];
export type NewRole = Schemas["RoleBody"];
export type RoleChange = Schemas["RolePatch"];

export const rolesQuery = queryOptions({
  queryKey: ["roles"],
  queryFn: () => answer(api.GET("/v1/admin/roles")),
  select: ({ roles }) => roles,
});

export function useAddRole() {
  return useChange((body: NewRole) => answer(api.POST("/v1/admin/roles", { body })));
}

export function useChangeRole(role: string) {
  return useChange((body: RoleChange) =>
    answer(api.PATCH("/v1/admin/roles/{role}", { params: { path: { role } }, body })),
  );
}

export function useDeleteRole(role: string) {
  return useChange(() => answer(api.DELETE("/v1/admin/roles/{role}", { params: { path: { role } } })));
}

/** Each asks for a fresh sign-in, and may have changed what oneself may do. */
function useChange<Variables, Data>(change: (variables: Variables) => Promise<Data>) {
  const queryClient = useQueryClient();
  const fresh = useFresh();
  return useMutation({
    mutationFn: (variables: Variables) => fresh(() => change(variables)),
    onSettled: () =>
      Promise.all(
        [["roles"], ["people"], ["me"]].map((queryKey) => queryClient.invalidateQueries({ queryKey })),
      ),
  });
}
