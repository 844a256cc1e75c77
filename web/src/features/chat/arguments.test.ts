// Arguments of tools, edited.
import { expect, test } from "vitest";
import { ApiError } from "../../api/errors";
import { argumentError, beyondArguments, draftOf, labelOf, readDraft } from "./arguments";

const given = { topic: "colours", content: "# Red\nA page.", base_version: 3, tags: ["a"], note: null };

function refusal(error: string, place = ""): ApiError {
  const fields = [{ field: `arguments${place}`, error }];
  return new ApiError("Not valid.", { status: 422, code: "validation_failed", fields });
}

test("what nobody has touched comes back as it was", () => {
  expect(readDraft(draftOf(given), given)).toEqual({ arguments: given, problems: {} });
});

test("text stays text, also where it looks like something else", () => {
  const { arguments: read } = readDraft({ ...draftOf(given), topic: "12", base_version: "4" }, given);
  expect(read).toMatchObject({ topic: "12", base_version: 4 });
});

test("what is no JSON is told at its field, before anything is sent", () => {
  const { arguments: read, problems } = readDraft({ ...draftOf(given), base_version: "four" }, given);
  expect(read).toBeNull();
  expect(Object.keys(problems)).toEqual(["base_version"]);
});

test("what the server refuses is told at the field that it names", () => {
  const error = refusal("Expected `str` of length >= 1", ".content");
  expect(argumentError(error, "content")).toBe("It may not be empty.");
  expect(argumentError(error, "topic")).toBeNull();
  expect(argumentError(refusal("Expected `int`, got `str`", ".tags[0]"), "tags")).toBe(
    "Expected `int`, got `str`.",
  );
  expect(beyondArguments(error, ["topic", "content"])).toBeNull();
});

test("what it names no field of is told as a whole", () => {
  const missing = refusal("Object missing required field `content`");
  expect(beyondArguments(missing, ["topic"])).toBe(missing);
  const elsewhere = refusal("Expected `str`", ".content");
  expect(beyondArguments(elsewhere, ["topic"])).toBe(elsewhere);
  const closed = new ApiError("Too late.", { status: 409, code: "approval_closed" });
  expect(beyondArguments(closed, ["topic"])).toBe(closed);
});

test("a name is shown as words", () => {
  expect(labelOf("base_version")).toBe("Base version");
});
