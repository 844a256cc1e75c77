// Administration: the roles, what each permits and denies, and how many people have it.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { Badge } from "../../ui/Badge";
import { Failure } from "../../ui/Failure";
import { SkeletonRows } from "../../ui/Skeleton";
import { Table, Td, Th } from "../../ui/Table";
import { AdminPage } from "../admin/AdminFrame";
import { type Role, rolesQuery } from "./queries";
import { narrowing, summary } from "./rights";

export default function RolesPage() {
  const roles = useQuery(rolesQuery);
  return (
    <AdminPage
      title="Roles"
      about="What people may do. Several roles unite; what one denies stays denied. Changes are in effect within a second."
      permission="manage_roles"
      actions={
        <Link
          to="/admin/new-role"
          className="inline-flex h-10 items-center justify-center gap-2 rounded-lg bg-accent px-4 font-medium text-accent-ink hover:bg-accent-hover"
        >
          <Plus aria-hidden className="size-4" /> New role
        </Link>
      }
    >
      {roles.data ? (
        <RolesTable roles={roles.data} />
      ) : roles.isError ? (
        <Failure
          title="The roles could not be loaded"
          error={roles.error}
          onRetry={() => void roles.refetch()}
        />
      ) : (
        <SkeletonRows rows={5} />
      )}
    </AdminPage>
  );
}

function RolesTable({ roles }: { roles: Role[] }) {
  return (
    <Table caption="Roles">
      <thead>
        <tr>
          <Th>Role</Th>
          <Th>Permits</Th>
          <Th className="hidden sm:table-cell">Denies</Th>
          <Th numeric>People</Th>
        </tr>
      </thead>
      <tbody>
        {roles.map((role) => (
          <tr key={role.name} data-testid="role">
            <Td className="min-w-28 sm:min-w-44">
              <Link
                to="/admin/roles/$role"
                params={{ role: role.name }}
                className="rounded-sm font-medium text-accent underline-offset-2 hover:underline"
              >
                {role.label}
              </Link>
              {role.is_shipped && <Badge className="sm:ml-2">Shipped</Badge>}
              <p className="hidden text-ink-2 sm:block">{role.about}</p>
            </Td>
            <Td className="min-w-40 sm:min-w-64">
              <Lines lines={summary(role.permissions)} otherwise="Nothing by itself" />
              <div className="mt-1 text-ink-2 sm:hidden">
                <Lines lines={narrowing(role.permissions)} otherwise="" />
              </div>
            </Td>
            <Td className="hidden min-w-36 sm:table-cell">
              <Lines lines={narrowing(role.permissions)} otherwise="–" />
            </Td>
            <Td numeric>{role.people}</Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function Lines({ lines, otherwise }: { lines: string[]; otherwise: string }) {
  if (lines.length === 0) return <span className="text-ink-3">{otherwise}</span>;
  return (
    <ul>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}
