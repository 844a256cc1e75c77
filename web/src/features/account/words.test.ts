// Names of sessions, times and the states of keys.
import { expect, test } from "vitest";
import { agentText, agoText, keyState } from "./words";

const NOW = new Date("2026-11-22T12:00:00Z");

test.each([
  ["Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on Linux"],
  [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
    "Edge on Windows",
  ],
  [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Safari on iPhone",
  ],
  ["python-httpx/0.28.1", "python-httpx"],
  ["", "Unknown program"],
])("%j is called %j", (agent, name) => {
  expect(agentText(agent)).toBe(name);
});

test.each([
  ["2026-11-22T11:59:50Z", "just now"],
  ["2026-11-22T11:55:00Z", "5 minutes ago"],
  ["2026-11-22T09:00:00Z", "3 hours ago"],
  ["2026-11-21T11:00:00Z", "yesterday"],
])("%s is %j", (iso, text) => {
  expect(agoText(iso, NOW)).toBe(text);
});

test.each([
  [{ revoked: false, expires_at: "2027-11-22T12:00:00Z" }, "active"],
  [{ revoked: false, expires_at: "2026-11-30T12:00:00Z" }, "expiring"],
  [{ revoked: false, expires_at: "2026-11-22T11:59:59Z" }, "expired"],
  [{ revoked: true, expires_at: "2027-11-22T12:00:00Z" }, "revoked"],
])("the key %j is %s", (key, state) => {
  expect(keyState(key, NOW)).toBe(state);
});
