// The typed client of AIBox's API: same origin, cookie session, CSRF header on every request that changes something.
import createClient, { type Middleware } from "openapi-fetch";
import { type ApiError, errorFrom, unreachable } from "./errors";
import type { paths } from "./schema";

let csrfToken: string | null = null;
let tenant: string | null = null;
let signedOut: () => void = () => {};

/** Remembers the token that /me, sign-in and setup hand out. */
export function rememberCsrfToken(session: { csrfToken?: string | null }): void {
  csrfToken = session.csrfToken ?? null;
}

/** Remembers the tenant that this page acts in: one's own, unless the session has entered another. */
export function rememberPlace(me: { user: { tenantId: string }; visiting?: { id: string } | null }): void {
  tenant = me.visiting?.id ?? me.user.tenantId;
}

/** Called when the server no longer knows our session. */
export function onSignedOut(callback: () => void): void {
  signedOut = callback;
}

/** Of the 401s only these are about the session; the others are about a password, a code or a passkey. */
const NO_SESSION = new Set(["missing_token", "session_revoked", "invalid_token", "token_expired"]);

/** Tells the app when a refusal means that the session has ended. */
export function noticeRefusal(error: ApiError): void {
  if (error.status === 401 && NO_SESSION.has(error.code)) signedOut();
  // Another page of this browser entered or left a tenant: what is shown here is not of where we are.
  if (error.code === "tenant_mismatch") window.location.assign("/");
}

/** Routes that act in one's own tenant wherever the session is; on all others the page says which one it means. */
const AT_HOME = /^\/v1\/(auth|admin\/tenants)(\/|$)/;

/** The headers of a request of ours: the session's token where something changes, and the tenant that is meant. */
export function sessionHeaders(path: string, method = "POST"): Record<string, string> {
  return {
    ...(method !== "GET" && csrfToken && { "X-CSRF-Token": csrfToken }),
    ...(tenant && !AT_HOME.test(path) && { "X-Tenant-ID": tenant }),
  };
}

const session: Middleware = {
  onRequest({ request }) {
    const headers = sessionHeaders(new URL(request.url).pathname, request.method);
    for (const [name, value] of Object.entries(headers)) request.headers.set(name, value);
    return request;
  },
};

/** Always our own server; written out, since only a browser can resolve a bare path. */
export const origin = globalThis.location.origin;

export const api = createClient<paths>({ baseUrl: origin, credentials: "same-origin" });
api.use(session);

/** Awaits a call of `api`: its data, or an `ApiError` thrown. */
export async function answer<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  let result: { data?: T; error?: unknown; response: Response };
  try {
    result = await call;
  } catch {
    // fetch rejects only when there was no answer at all (or the body was cut).
    throw unreachable();
  }
  if (!result.response.ok) {
    const error = errorFrom(result.response, result.error);
    noticeRefusal(error);
    throw error;
  }
  return result.data as T;
}
