// An act that asks for a fresh sign-in, with each answer that a person may give.
import { expect, test, vi } from "vitest";
import { ApiError } from "../../api/errors";
import { freshly } from "./fresh";

const stale = () => new ApiError("Confirm.", { status: 401, code: "insufficient_user_authentication" });

test("after the confirmation it is done again", async () => {
  const act = vi.fn().mockRejectedValueOnce(stale()).mockResolvedValueOnce("made");
  expect(await freshly(act, async () => true)).toBe("made");
  expect(act).toHaveBeenCalledTimes(2);
});

test("without a confirmation it is not done again, and says so", async () => {
  const act = vi.fn().mockRejectedValue(stale());
  await expect(freshly(act, async () => false)).rejects.toThrow("Nothing was changed");
  expect(act).toHaveBeenCalledTimes(1);
});

test("nobody is asked about another refusal", async () => {
  const asked = vi.fn();
  const act = () => Promise.reject(new ApiError("No.", { status: 403, code: "forbidden" }));
  await expect(freshly(act, asked)).rejects.toThrow("No.");
  expect(asked).not.toHaveBeenCalled();
});
