// What to tell someone who could not get in.
import { ApiError } from "../../api/errors";
import type { Method } from "./pending";

/** So many wrong codes end a sign-in under way; the server counts too. */
export const TRIES = 5;

export function waitText(seconds: number): string {
  if (seconds < 90) return `${seconds} ${seconds === 1 ? "second" : "seconds"}`;
  const minutes = Math.ceil(seconds / 60);
  return `${minutes} minutes`;
}

export function signInMessage(error: unknown): string {
  if (!(error instanceof ApiError)) return "Something unexpected happened. Reload the page and try again.";
  switch (error.code) {
    case "invalid_credentials":
      return "This e-mail address and password do not belong together.";
    case "ntlm_refused":
      return "The Windows account was refused: another password, or something stands between this browser and AIBox.";
    case "missing_token":
    case "ntlm_challenge":
      return "This browser answers with no Windows account here. Ask your administrator to allow it for this address.";
    case "rate_limited":
      return error.retryAfter === null
        ? "Too many attempts. Wait a few minutes, then try again."
        : `Too many attempts. Try again in ${waitText(error.retryAfter)}.`;
    default:
      return error.message;
  }
}

const WRONG: Record<Method, string> = {
  totp: "This code does not fit. Codes change every 30 seconds: try the one shown now.",
  recovery: "This is no unused recovery code of yours.",
  webauthn: "This passkey could not be verified. Try again, or another way.",
  push: "The wrong number was typed on the device. Begin the sign-in again.",
};

/** Why a second factor was not taken. */
export function factorMessage(error: unknown, method: Method): string {
  if (!(error instanceof ApiError)) return signInMessage(error);
  switch (error.code) {
    case "challenge_invalid":
    case "webauthn_failed":
      return WRONG[method];
    case "challenge_denied":
      return "The sign-in was denied on the device. If that was not you, change your password.";
    default:
      return signInMessage(error);
  }
}

const REFUSALS: Record<string, string> = {
  role_not_mapped: "Your account there has no role here. Ask your administrator.",
  tenant_not_provisioned: "Your organisation is not active here. Ask your administrator.",
  tenant_mismatch: "Your account there belongs to another organisation.",
  idp_unavailable: "It cannot be reached just now. Try again shortly.",
  invalid_request: "The sign-in was not begun here, took too long, or was given up. Begin again.",
  invalid_credentials: "Your account here is not active. Ask your administrator.",
  challenge_invalid: "The invitation was used, taken back, or has expired. Ask for a new one.",
  conflict: "You have an account here already. Sign in without the invitation.",
  invalid_token: "Its answer could not be verified. Tell your administrator.",
  invalid_audience: "Its answer was meant for another application. Tell your administrator.",
  state_unavailable: "AIBox cannot reach its database. Try again shortly.",
};

/** Why what another sign-in service sent was not taken. */
export function refusedMessage(code: string): string {
  return REFUSALS[code] ?? "Its answer was not accepted. Try again, or tell your administrator.";
}

/** Errors by field, for the form; `form` holds what belongs to none of them. */
export function fieldErrors(error: unknown, known: string[]): Record<string, string> {
  if (!(error instanceof ApiError) || error.fields.length === 0) return {};
  const errors: Record<string, string> = {};
  for (const { field, error: message } of error.fields) {
    errors[known.includes(field) ? field : "form"] = message;
  }
  return errors;
}
