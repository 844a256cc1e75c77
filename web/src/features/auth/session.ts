// Who is signed in: asked once, remembered with the CSRF token, forgotten on sign-out.
import { type QueryClient, queryOptions, useSuspenseQuery } from "@tanstack/react-query";
import { answer, api, rememberCsrfToken } from "../../api/client";
import type { Me } from "../../api/types";

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async (): Promise<Me> => {
    const me = await answer(api.GET("/v1/auth/me"));
    rememberCsrfToken(me);
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

/** The answer is the cookie; /me then tells the rest. */
export async function signIn(queryClient: QueryClient, username: string, password: string): Promise<void> {
  await answer(api.POST("/v1/auth/login", { body: { username, password } }));
  queryClient.clear();
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
