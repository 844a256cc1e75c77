// What to tell someone who could not get in.
import { ApiError } from "../../api/errors";

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
    case "rate_limited":
      return error.retryAfter === null
        ? "Too many attempts. Wait a few minutes, then try again."
        : `Too many attempts. Try again in ${waitText(error.retryAfter)}.`;
    default:
      return error.message;
  }
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
