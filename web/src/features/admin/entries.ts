// What the administration consists of, and who sees which part. A new page adds its line here and its route.
import type { LinkProps } from "@tanstack/react-router";
import {
  Activity,
  Building2,
  ChartColumn,
  Cpu,
  KeySquare,
  LogIn,
  type LucideIcon,
  ShieldCheck,
  Users,
} from "lucide-react";
import type { Me } from "../../api/types";

/** The names under `admin` in the permission object. */
export type AdminPermission =
  | "manage_users"
  | "manage_roles"
  | "manage_templates"
  | "manage_providers"
  | "view_audit_log"
  | "manage_tenant"
  | "manage_tenants";

export interface AdminEntry {
  to: NonNullable<LinkProps["to"]>;
  label: string;
  icon: LucideIcon;
  permission: AdminPermission;
  /** A page of its own that belongs to it, at another address. */
  also?: string;
}

export const adminEntries: AdminEntry[] = [
  { to: "/admin/users", label: "People", icon: Users, permission: "manage_users" },
  {
    to: "/admin/roles",
    label: "Roles",
    icon: KeySquare,
    permission: "manage_roles",
    also: "/admin/new-role",
  },
  { to: "/admin/sign-in-services", label: "Sign-in services", icon: LogIn, permission: "manage_roles" },
  { to: "/admin/tenants", label: "Tenants", icon: Building2, permission: "manage_tenants" },
  { to: "/admin/inference", label: "Inference", icon: Cpu, permission: "manage_providers" },
  { to: "/admin/guardrail", label: "Guardrail", icon: ShieldCheck, permission: "manage_providers" },
  { to: "/admin/usage", label: "Usage", icon: ChartColumn, permission: "view_audit_log" },
  { to: "/admin/activity", label: "Activity", icon: Activity, permission: "view_audit_log" },
];

export function mayAdmin({ permissions }: Me, permission: AdminPermission): boolean {
  const { admin } = permissions;
  return typeof admin === "object" && admin !== null && permission in admin
    ? (admin as Record<string, unknown>)[permission] === true
    : false;
}

/** Whether the page at `pathname` is the entry's own, or one below it. */
export function isOn({ to, also }: AdminEntry, pathname: string): boolean {
  return [to, also].some((path) => path === pathname || pathname.startsWith(`${path}/`));
}

/** The entries that this person may open. */
export function entriesFor(me: Me): AdminEntry[] {
  return adminEntries.filter((entry) => mayAdmin(me, entry.permission));
}
