// Who is signed in: asked once, remembered with the CSRF token, forgotten on sign-out.
import { type QueryClient, queryOptions, useSuspenseQuery } from "@tanstack/react-query";
import { answer, api, rememberCsrfToken, rememberPlace } from "../../api/client";
import { isRecord } from "../../api/errors";
import type { Me } from "../../api/types";
import { signWithPasskey } from "./passkey";
import { type Pending, pendingFrom } from "./pending";

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async (): Promise<Me> => {
    const me = await answer(api.GET("/v1/auth/me"));
    rememberCsrfToken(me);
    rememberPlace(me);
    return me;
  },
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
});

export const authConfigQuery = queryOptions({
  queryKey: ["auth-config"],
  queryFn: () => answer(api.GET("/v1/auth/config")),
  retry: false,
});

export function useMe(): Me {
  return useSuspenseQuery(meQuery).data;
}

export const idpsQuery = queryOptions({
  queryKey: ["auth-idps"],
  queryFn: () => answer(api.GET("/v1/auth/idps")),
  retry: false,
});

/** Signed in by the cookie that came along, unless a second factor is asked for: /me then tells the rest. */
export type SignInStep =
  | { state: "signed-in"; recoveryCodes: string[] }
  | { state: "pending"; pending: Pending };

export async function signIn(username: string, password: string, tenant: string | null): Promise<SignInStep> {
  const body = { username, password, ...(tenant && { tenant }) };
  return stepFrom(await answer<unknown>(api.POST("/v1/auth/login", { body })));
}

/** By a passkey that says whose it is; null when they closed the browser's window. */
export async function signInByPasskey(): Promise<SignInStep | null> {
  const { challenge_token, webauthn } = await answer(api.POST("/v1/auth/passkey/options"));
  const assertion = await signWithPasskey(webauthn);
  if (!assertion) return null;
  return stepFrom(
    await answer<unknown>(api.POST("/v1/auth/passkey", { body: { challenge_token, assertion } })),
  );
}

/** By the Windows account that the browser knows or asks for: it answers NTLM's challenge itself. */
export async function signInByWindows(): Promise<SignInStep> {
  return stepFrom(await answer<unknown>(api.POST("/egauth/ntlm")));
}

export async function acceptInvitation(body: {
  token: string;
  name: string;
  password: string;
}): Promise<SignInStep> {
  return stepFrom(await answer<unknown>(api.POST("/v1/auth/invitation/accept", { body })));
}

export type Proof =
  | { method: "totp" | "recovery"; code: string }
  | { method: "webauthn"; assertion: Record<string, unknown> }
  | { method: "push" };

/** While a device is asked the step stays pending: ask again. */
export async function proveSecondFactor(challenge_token: string, proof: Proof): Promise<SignInStep> {
  return stepFrom(
    await answer<unknown>(api.POST("/v1/auth/login/2fa", { body: { challenge_token, ...proof } })),
  );
}

function stepFrom(body: unknown): SignInStep {
  const pending = pendingFrom(body);
  if (pending) return { state: "pending", pending };
  const codes = isRecord(body) ? body.recoveryCodes : undefined;
  return {
    state: "signed-in",
    recoveryCodes: Array.isArray(codes) ? codes.filter((code) => typeof code === "string") : [],
  };
}

export async function setUp(
  queryClient: QueryClient,
  owner: { token: string; name: string; email: string; password: string },
): Promise<void> {
  await answer(api.POST("/v1/auth/setup", { body: owner }));
  queryClient.clear();
}

/** Leaves by loading the page anew: nothing of the session stays in memory. */
export async function signOut(): Promise<void> {
  await answer(api.POST("/v1/auth/logout"));
  window.location.assign("/sign-in");
}
