// One's own account: what it consists of, and the ways to change it.
import { type QueryKey, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api, rememberCsrfToken } from "../../api/client";
import { isRecord } from "../../api/errors";
import type { components } from "../../api/schema";
import { factorsQuery } from "../auth/factors";
import { useFresh } from "../auth/fresh";
import { meQuery } from "../auth/session";

type Schemas = components["schemas"];
export type AccountSession = Schemas["identity_schemas_SessionView"];
export type ApiKey = Schemas["KeyView"];
export type NewApiKey = Schemas["KeyBody"];
export type Scope = NewApiKey["scopes"][number];
export type Factors = Schemas["Factors"];
export type Device = Schemas["Device"];

export const sessionsQuery = queryOptions({
  queryKey: ["account", "sessions"],
  queryFn: () => answer(api.GET("/v1/auth/sessions")),
  select: ({ sessions }) => sessions,
});

export const keysQuery = queryOptions({
  queryKey: ["account", "keys"],
  queryFn: () => answer(api.GET("/v1/auth/keys")),
  select: ({ keys }) => keys,
});

export const devicesQuery = queryOptions({
  queryKey: ["account", "devices"],
  queryFn: () => answer(api.GET("/v1/auth/devices")),
  select: ({ devices }) => devices,
});

export function useRename() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => answer(api.PATCH("/v1/auth/me", { body: { name } })),
    onSuccess: (me) => queryClient.setQueryData(meQuery.queryKey, me),
  });
}

/** All sessions end; the answer opens a new one for this browser. */
export function useChangePassword() {
  return useChange(async (body: { current: string; new: string }) => {
    const opened = await answer<unknown>(api.POST("/v1/auth/password", { body }));
    if (isRecord(opened) && typeof opened.csrfToken === "string")
      rememberCsrfToken({ csrfToken: opened.csrfToken });
  }, sessionsQuery.queryKey);
}

export function useEndSession() {
  return useChange(
    (session_id: string) =>
      answer(api.DELETE("/v1/auth/sessions/{session_id}", { params: { path: { session_id } } })),
    sessionsQuery.queryKey,
  );
}

export function useCreateKey() {
  return useFreshChange((body: NewApiKey) => answer(api.POST("/v1/auth/keys", { body })), keysQuery.queryKey);
}

export function useRevokeKey() {
  return useChange(
    (key_id: string) => answer(api.DELETE("/v1/auth/keys/{key_id}", { params: { path: { key_id } } })),
    keysQuery.queryKey,
  );
}

export function useBeginTotp() {
  return useFreshChange(() => answer(api.POST("/v1/auth/2fa/totp")), factorsQuery.queryKey);
}

export function useConfirmTotp() {
  return useFreshChange(
    (code: string) => answer(api.POST("/v1/auth/2fa/totp/confirm", { body: { code } })),
    factorsQuery.queryKey,
  );
}

export function useRemoveTotp() {
  return useFreshChange(() => answer(api.DELETE("/v1/auth/2fa/totp")), factorsQuery.queryKey);
}

export function usePasskeyOptions() {
  const fresh = useFresh();
  return () => fresh(() => answer(api.POST("/v1/auth/2fa/passkeys/options")));
}

export function useAddPasskey() {
  return useFreshChange(
    (body: { name: string; credential: Record<string, unknown> }) =>
      answer(api.POST("/v1/auth/2fa/passkeys", { body })),
    factorsQuery.queryKey,
  );
}

export function useRemovePasskey() {
  return useFreshChange(
    (passkey_id: string) =>
      answer(api.DELETE("/v1/auth/2fa/passkeys/{passkey_id}", { params: { path: { passkey_id } } })),
    factorsQuery.queryKey,
  );
}

export function useNewRecoveryCodes() {
  return useFreshChange(() => answer(api.POST("/v1/auth/2fa/recovery-codes")), factorsQuery.queryKey);
}

export function useStartPairing() {
  return useFreshChange(() => answer(api.POST("/v1/auth/pair/start")), devicesQuery.queryKey);
}

export function useUnpair() {
  return useChange(
    (device_id: string) =>
      answer(api.DELETE("/v1/auth/devices/{device_id}", { params: { path: { device_id } } })),
    devicesQuery.queryKey,
  );
}

/** For what asks for a fresh sign-in. */
function useFreshChange<Variables, Data>(
  change: (variables: Variables) => Promise<Data>,
  queryKey: QueryKey,
) {
  const fresh = useFresh();
  return useChange((variables: Variables) => fresh(() => change(variables)), queryKey);
}

/** Whatever came of it, what was changed is read anew. */
function useChange<Variables, Data>(change: (variables: Variables) => Promise<Data>, queryKey: QueryKey) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => queryClient.invalidateQueries({ queryKey }),
  });
}
