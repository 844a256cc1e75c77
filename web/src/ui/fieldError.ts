// What a refusal says about one field of a form, and whether it says anything that no field shows.
import { ApiError } from "../api/errors";

export function fieldError(error: Error | null, name: string): string | null {
  if (!(error instanceof ApiError)) return null;
  return error.fields.find(({ field }) => field === name)?.error ?? null;
}

/** The refusal, unless each part of it stands at one of these fields. */
export function beyondFields(error: Error | null, names: string[]): Error | null {
  if (!(error instanceof ApiError) || error.fields.length === 0) return error;
  return error.fields.every(({ field }) => names.includes(field)) ? null : error;
}
