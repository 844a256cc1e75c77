// What a device sends, in the form that the server reads.
import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { origin: "http://localhost" });
const { base64url, signedText } = await import("./device");

test("bytes are written as base64url without padding", () => {
  expect(base64url(new Uint8Array([251, 255, 254, 0]))).toBe("-__-AA");
});

test("the number is signed together with the request that it belongs to", () => {
  expect(signedText("0199", "42")).toBe("aibox-push/1\n0199\n42");
});
