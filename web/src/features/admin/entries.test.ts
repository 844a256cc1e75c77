// Which page of the administration is lit in its list.
import { expect, test } from "vitest";
import { adminEntries, isOn } from "./entries";

function lit(pathname: string): string[] {
  return adminEntries.filter((entry) => isOn(entry, pathname)).map(({ label }) => label);
}

test("an address lights its own entry and no other", () => {
  for (const { to, label } of adminEntries) {
    expect(lit(to)).toEqual([label]);
    expect(lit(`${to}/one`)).toEqual([label]);
  }
});

test("making a role belongs to the roles", () => {
  expect(lit("/admin/new-role")).toEqual(["Roles"]);
});

test("what only begins alike is another page", () => {
  expect(lit("/admin/users-of-old")).toEqual([]);
});
