// What a sign-in that is not complete yet looks like to the page.
import { expect, test } from "vitest";
import { pendingFrom, pendingFromFragment, refusedFromFragment } from "./pending";

const BODY = {
  challenge_id: "0199",
  challenge_token: "secret",
  methods: ["totp", "webauthn", "recovery", "push"],
  expires_in: 120,
  status: "pending",
  webauthn: { challenge: "abc" },
};

test("the easiest factor is offered first and the recovery code last", () => {
  expect(pendingFrom(BODY)?.methods).toEqual(["webauthn", "push", "totp", "recovery"]);
});

test("a method that this page does not know is not offered", () => {
  expect(pendingFrom({ ...BODY, methods: ["carrier-pigeon", "totp"] })?.methods).toEqual(["totp"]);
});

test("a completed sign-in is not pending", () => {
  expect(pendingFrom({ user: { id: "1" }, csrfToken: "t" })).toBeNull();
});

test("what another sign-in service left in the fragment is read", () => {
  const hash = `#${new URLSearchParams({ pending: JSON.stringify(BODY) })}`;
  expect(pendingFromFragment(hash)).toEqual(pendingFrom(BODY));
});

test.each(["", "#", "#pending=", "#pending={cut", "#token=abc"])("the fragment %j holds none", (hash) => {
  expect(pendingFromFragment(hash)).toBeNull();
});

test.each([
  ["#refused=role_not_mapped&turn=0192aaaa-0000-7000-8000-000000000001", "role_not_mapped"],
  ["#refused=role_not_mapped&turn=<b>", "role_not_mapped"],
  ["#refused=Call%20this%20number", null],
  ["#pending=%7B%7D", null],
  ["", null],
])("%j names the refusal %j, in no words of its own", (hash, code) => {
  const refused = refusedFromFragment(hash);
  expect(refused?.code ?? null).toBe(code);
  expect(refused?.turn ?? "").not.toContain("<");
});
