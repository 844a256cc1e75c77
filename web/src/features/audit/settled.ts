// What a check of the log came to, once its lines have ended.
import { ApiError } from "../../api/errors";
import type { Verification } from "./queries";

export type Check =
  | { state: "idle" }
  | { state: "running"; seen: Verification | null }
  | { state: "done"; result: Verification }
  | { state: "failed"; error: Error };

/** The last line is the result, if it says that all was looked at or that something is wrong. */
export function settled(last: Verification | null): Check {
  if (last && (!last.ok || last.checked >= last.total)) return { state: "done", result: last };
  const error = new ApiError("The server stopped before the whole log was checked.", {
    status: 0,
    code: "check_cut",
  });
  return { state: "failed", error };
}
