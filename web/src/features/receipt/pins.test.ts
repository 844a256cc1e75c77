// Keys remembered on first use.
import { expect, test } from "vitest";
import { type PinStore, pin, pinOf, sameKeys } from "./pins";

function memory(): PinStore & { text: string | null } {
  const store = {
    text: null as string | null,
    getItem: () => store.text,
    setItem: (_: string, value: string) => {
      store.text = value;
    },
  };
  return store;
}

test("each log has its own pin", () => {
  const store = memory();
  pin(store, "a", ["k1", "k2"], new Date(0));
  pin(store, "b", ["k3"], new Date(0));
  expect(pinOf(store, "a")).toEqual({ vkeys: ["k1", "k2"], since: "1970-01-01T00:00:00.000Z" });
  expect(pinOf(store, "c")).toBeNull();
});

test("a damaged store is as good as an empty one", () => {
  const store = memory();
  store.text = "{";
  expect(pinOf(store, "a")).toBeNull();
});

test("the order of keys says nothing", () => {
  expect(sameKeys(["a", "b"], ["b", "a"])).toBe(true);
  expect(sameKeys(["a", "b"], ["a"])).toBe(false);
  expect(sameKeys(["a", "a"], ["a", "b"])).toBe(false);
});
