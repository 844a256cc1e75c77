// The typed client of AIBox's API: same origin, cookie session, CSRF header on every request that changes something.
import createClient, { type Middleware } from "openapi-fetch";
import { type ApiError, errorFrom, unreachable } from "./errors";
import type { paths } from "./schema";

let csrfToken: string | null = null;
let signedOut: () => void = () => {};

/** Remembers the token that /me, sign-in and setup hand out. */
export function rememberCsrfToken(session: { csrfToken?: string | null }): void {
  csrfToken = session.csrfToken ?? null;
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
}

export function csrfHeader(): Record<string, string> {
  return csrfToken ? { "X-CSRF-Token": csrfToken } : {};
}

const csrf: Middleware = {
  onRequest({ request }) {
    if (request.method !== "GET" && csrfToken) request.headers.set("X-CSRF-Token", csrfToken);
    return request;
  },
};

/** Always our own server; written out, since only a browser can resolve a bare path. */
export const origin = globalThis.location.origin;

export const api = createClient<paths>({ baseUrl: origin, credentials: "same-origin" });
api.use(csrf);

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
