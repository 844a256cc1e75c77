// One role: a table of what it permits by area, its tools and limits, and who has it. The shipped ones are read only.
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { ArrowLeft } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Notice } from "../../ui/Notice";
import { Panel } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { AdminPage } from "../admin/AdminFrame";
import { mayAdmin } from "../admin/entries";
import { useMe } from "../auth/session";
import { peopleQuery } from "../users/queries";
import { type Role, type RoleRights, rolesQuery, useAddRole, useChangeRole, useDeleteRole } from "./queries";
import { RightsTable } from "./RightsTable";
import { coversRole, slugOf } from "./rights";
import { LimitFields, ToolFields } from "./ToolFields";

const route = getRouteApi("/app/admin/roles/$role");

const FIELDS = [
  "name",
  "label",
  "about",
  "permissions.tools.allowed",
  "permissions.tools.denied",
  "permissions.cost.monthly_limit_usd",
  "permissions.cost.per_request_limit_usd",
];

export default function RolePage() {
  const { role: name } = route.useParams();
  const roles = useQuery(rolesQuery);
  const role = roles.data?.find((one) => one.name === name);
  return (
    <AdminPage
      title={role?.label ?? "Role"}
      about={role?.about}
      permission="manage_roles"
      actions={<AllRoles />}
    >
      {roles.isPending && <SkeletonRows rows={8} />}
      {roles.isError && <Failure error={roles.error} onRetry={() => void roles.refetch()} />}
      {roles.data && !role && <Notice kind="info">There is no such role here.</Notice>}
      {role && <RoleForm key={role.name} existing={role} />}
      {role && <Holders role={role} />}
      {role && !role.is_shipped && <Deletion role={role} />}
    </AdminPage>
  );
}

export function NewRolePage() {
  return (
    <AdminPage
      title="New role"
      about="It gives no more than you may do yourself."
      permission="manage_roles"
      actions={<AllRoles />}
    >
      <RoleForm existing={null} />
    </AdminPage>
  );
}

function AllRoles() {
  return (
    <Link
      to="/admin/roles"
      className="inline-flex h-10 items-center gap-2 rounded-lg border border-line-strong/60 bg-surface px-4 font-medium hover:bg-sunken"
    >
      <ArrowLeft aria-hidden className="size-4" /> All roles
    </Link>
  );
}

function RoleForm({ existing: role }: { existing: Role | null }) {
  const me = useMe();
  const navigate = useNavigate();
  const [label, setLabel] = useState(role?.label ?? "");
  const [about, setAbout] = useState(role?.about ?? "");
  const [name, setName] = useState<string | null>(null);
  const [permissions, setPermissions] = useState<RoleRights>(role?.permissions ?? { chat: true });
  const addition = useAddRole();
  const change = useChangeRole(role?.name ?? "");
  const action = role ? change : addition;
  const failure = beyondFields(action.error, FIELDS);
  const locked = role !== null && (role.is_shipped || !coversRole(me, role.permissions));
  const called = name ?? slugOf(label);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!label.trim() || locked) return;
    const body = { label: label.trim(), about: about.trim(), permissions };
    if (role) change.mutate(body);
    else
      addition.mutate(
        { ...body, name: called },
        { onSuccess: (made) => void navigate({ to: "/admin/roles/$role", params: { role: made.name } }) },
      );
  };

  return (
    <form onSubmit={submit} className="space-y-8" autoComplete="off">
      {locked && (
        <Notice kind="info">
          {role?.is_shipped
            ? "The shipped roles stay as they are. Make one of your own for what they do not fit."
            : "This role permits more than you may do, so it is not yours to change."}
        </Notice>
      )}
      {!role?.is_shipped && (
        <div className="grid gap-4 sm:grid-cols-2">
          <Field
            label="Title"
            name="role-label"
            required
            maxLength={60}
            autoFocus={role === null}
            disabled={locked}
            value={label}
            onChange={(event) => setLabel(event.target.value)}
            error={fieldError(action.error, "label")}
          />
          <Field
            label="Name in the API"
            name="role-name"
            required
            maxLength={40}
            spellCheck={false}
            disabled={role !== null}
            value={role?.name ?? called}
            onChange={(event) => setName(event.target.value)}
            error={fieldError(action.error, "name")}
            hint={role ? undefined : "It stays as it is."}
          />
          <Field
            label="What it is for"
            name="role-about"
            className="sm:col-span-2"
            maxLength={300}
            disabled={locked}
            value={about}
            onChange={(event) => setAbout(event.target.value)}
            error={fieldError(action.error, "about")}
          />
        </div>
      )}
      <RightsTable value={permissions} onChange={setPermissions} disabled={locked} />
      <ToolFields value={permissions} onChange={setPermissions} disabled={locked} error={action.error} />
      <LimitFields value={permissions} onChange={setPermissions} disabled={locked} error={action.error} />
      {failure && <Failure error={failure} />}
      {!locked && (
        <div className="flex items-center gap-3">
          <Button type="submit" busy={action.isPending} disabled={!label.trim() || (!role && !called)}>
            {role ? "Save" : "Make the role"}
          </Button>
          <span role="status" className="text-sm text-ink-2">
            {change.isSuccess ? "Saved." : ""}
          </span>
        </div>
      )}
    </form>
  );
}

function Holders({ role }: { role: Role }) {
  const may = mayAdmin(useMe(), "manage_users");
  const people = useQuery({ ...peopleQuery, enabled: may });
  const holders = people.data?.filter(({ roles }) => roles.includes(role.name)) ?? [];
  return (
    <Panel title="Who has it" className="border-t border-line pt-7">
      {role.people === 0 && (
        <p className="text-ink-2">Nobody yet. Roles are given to people on their page.</p>
      )}
      {role.people > 0 && !may && (
        <p className="text-ink-2">
          {role.people === 1 ? "One person has it." : `${role.people} people have it.`}
        </p>
      )}
      {holders.length > 0 && (
        <ul className="flex flex-wrap gap-2" data-testid="role-holders">
          {holders.map((person) => (
            <li key={person.id} className="rounded-lg border border-line bg-surface px-3 py-1.5">
              {person.name || person.handle} <span className="text-sm text-ink-3">{person.email}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function Deletion({ role }: { role: Role }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const deletion = useDeleteRole(role.name);
  return (
    <div className="mt-9 border-t border-line pt-7">
      <Button look="quiet" className="text-danger" onClick={() => setAsking(true)}>
        Delete the role…
      </Button>
      {asking && (
        <Confirm
          title={`Delete the role “${role.label}”?`}
          action="Delete the role"
          busy={deletion.isPending}
          error={deletion.error}
          onConfirm={() =>
            deletion.mutate(undefined, { onSuccess: () => void navigate({ to: "/admin/roles" }) })
          }
          onClose={() => setAsking(false)}
        >
          A role that somebody has, was invited to, or gets by a group is not deleted.
        </Confirm>
      )}
    </div>
  );
}
