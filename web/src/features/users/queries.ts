// The people of the tenant, and the ways to change them.
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import type { components } from "../../api/schema";
import { useFresh } from "../auth/fresh";

type Schemas = components["schemas"];
export type Person = Schemas["UserView"];
export type NewPerson = Schemas["UserBody"];
export type PersonChange = Schemas["UserPatch"];
export type Invitation = Schemas["Invitation"];
export type NewInvitation = Schemas["InvitationBody"];

export const peopleQuery = queryOptions({
  queryKey: ["people"],
  queryFn: () => answer(api.GET("/v1/admin/users")),
  select: ({ users }) => users,
});

export function permissionsQuery(user_id: string) {
  return queryOptions({
    queryKey: ["people", user_id, "permissions"],
    queryFn: () =>
      answer(api.GET("/v1/admin/users/{user_id}/permissions", { params: { path: { user_id } } })),
  });
}

export const invitationsQuery = queryOptions({
  queryKey: ["people", "invitations"],
  queryFn: () => answer(api.GET("/v1/admin/invitations")),
  select: ({ invitations }) => invitations,
});

export function useInvite() {
  const fresh = useFresh();
  return useChange((body: NewInvitation) => fresh(() => answer(api.POST("/v1/admin/invitations", { body }))));
}

export function useRevokeInvitation() {
  return useChange((invitation_id: string) =>
    answer(api.DELETE("/v1/admin/invitations/{invitation_id}", { params: { path: { invitation_id } } })),
  );
}

export function useAddPerson() {
  const fresh = useFresh();
  return useChange((body: NewPerson) => fresh(() => answer(api.POST("/v1/admin/users", { body }))));
}

export function useChangePerson(user_id: string) {
  const fresh = useFresh();
  return useChange((body: PersonChange) =>
    fresh(() => answer(api.PATCH("/v1/admin/users/{user_id}", { params: { path: { user_id } }, body }))),
  );
}

export function useSignOutPerson(user_id: string) {
  return useChange(() =>
    answer(api.POST("/v1/admin/users/{user_id}/signout", { params: { path: { user_id } } })),
  );
}

export function useResetFactors(user_id: string) {
  const fresh = useFresh();
  return useChange(() =>
    fresh(() => answer(api.POST("/v1/admin/users/{user_id}/reset-2fa", { params: { path: { user_id } } }))),
  );
}

/** Whatever came of it, the list is read anew; one's own rights too, for one may have changed oneself. */
function useChange<Variables, Data>(change: (variables: Variables) => Promise<Data>) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () =>
      Promise.all([
        queryClient.invalidateQueries({ queryKey: ["people"] }),
        queryClient.invalidateQueries({ queryKey: ["me"] }),
      ]),
  });
}
