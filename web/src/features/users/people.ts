// Roles, states and rights in words, and who may change whom.
import { isRecord } from "../../api/errors";
import type { Me } from "../../api/types";
import type { Tone } from "../../ui/Badge";
import type { Role } from "../roles/queries";
import { coversRole } from "../roles/rights";
import type { Person } from "./queries";

export const STATES: Record<string, { label: string; tone: Tone }> = {
  active: { label: "Active", tone: "good" },
  suspended: { label: "Suspended", tone: "warn" },
  deactivated: { label: "Deactivated", tone: "neutral" },
};

/** Nobody hands out what they may not do themselves. A role that is not listed, such as `platform_admin`, is not ours. */
export function mayGive(me: Pick<Me, "permissions">, role: string, roles: Role[]): boolean {
  const found = roles.find(({ name }) => name === role);
  return found !== undefined && coversRole(me, found.permissions);
}

/** Whether this person's roles, state and sessions are for `me` to change. */
export function mayManage(
  me: Pick<Me, "permissions">,
  person: Pick<Person, "roles">,
  roles: Role[],
): boolean {
  return person.roles.every((role) => mayGive(me, role, roles));
}

export function roleLabel(role: string, roles: Role[]): string {
  if (role === "platform_admin") return "Platform admin";
  return roles.find(({ name }) => name === role)?.label ?? role;
}

/** Whose name, e-mail, handle or role holds every word of `text`. */
export function found(people: Person[], text: string): Person[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return people.filter(({ name, email, handle, roles }) => {
    const all = [name, email, handle, ...roles].join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

const GROUPS: Record<string, string> = { agents: "Agents", memory: "Memory", admin: "Administration" };

/** The permission object as lines: what of each group is granted, and which tools. */
export function rightsOf(permissions: unknown): { group: string; granted: string[] }[] {
  if (!isRecord(permissions)) return [];
  const lines = Object.entries(GROUPS).map(([name, group]) => {
    const part = permissions[name];
    const granted = isRecord(part) ? Object.keys(part).filter((right) => part[right] === true) : [];
    return { group, granted: granted.map((right) => right.replaceAll("_", " ")) };
  });
  const tools = isRecord(permissions.tools) ? permissions.tools : {};
  return [
    { group: "Chat", granted: permissions.chat === true ? ["ask models"] : [] },
    ...lines,
    { group: "Tools", granted: toolWords(tools.allowed, tools.denied) },
  ];
}

function toolWords(allowed: unknown, denied: unknown): string[] {
  const names = (value: unknown) =>
    Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
  const granted = names(allowed).map((name) => (name === "*" ? "all tools" : name));
  return [...granted, ...names(denied).map((name) => `never ${name}`)];
}

/** A password to hand over: 20 characters that do not read like one another, about 98 bits. */
export function newPassword(random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array = fill): string {
  const alphabet = "abcdefghjkmnpqrstuvwxyz23456789"; // 31: a byte of 248 and above is drawn again
  let password = "";
  while (password.length < 20) {
    for (const byte of random(new Uint8Array(32))) {
      if (byte < 248 && password.length < 20) password += alphabet[byte % alphabet.length];
    }
  }
  return password.match(/.{5}/g)?.join("-") ?? password;
}

function fill(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  return crypto.getRandomValues(bytes);
}

/** Who vouches for people with a Windows account. */
export const WINDOWS = "winbind:";

/** Who vouches for a person, in a word. */
export function issuerName(iss: string): string {
  if (iss === WINDOWS) return "Windows account";
  return URL.canParse(iss) ? new URL(iss).host : iss;
}
