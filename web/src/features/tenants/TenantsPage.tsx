// Administration of an installation of several tenants: which there are, a new one, and suspending one.
import { useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { SkeletonRows } from "../../ui/Skeleton";
import { Table, Td, Th } from "../../ui/Table";
import { dateText } from "../account/words";
import { AdminPage } from "../admin/AdminFrame";
import { useMe } from "../auth/session";
import { InvitationLink } from "../users/InvitationLink";
import { STATES } from "../users/people";
import { type Tenant, tenantsQuery, useAddTenant, useEnter, useSetStatus } from "./queries";

export default function TenantsPage() {
  const tenants = useQuery(tenantsQuery);
  const [adding, setAdding] = useState(false);
  return (
    <AdminPage
      title="Tenants"
      about="Organisations that share this installation and nothing else. Each has its own people, data and log."
      permission="manage_tenants"
      actions={
        <Button onClick={() => setAdding(true)}>
          <Plus aria-hidden className="size-4" /> New tenant
        </Button>
      }
    >
      {tenants.isPending && <SkeletonRows rows={3} />}
      {tenants.isError && <Failure error={tenants.error} onRetry={() => void tenants.refetch()} />}
      {tenants.data && <TenantsTable tenants={tenants.data} />}
      {adding && <NewTenantDialog onClose={() => setAdding(false)} />}
    </AdminPage>
  );
}

function TenantsTable({ tenants }: { tenants: Tenant[] }) {
  const { user, visiting } = useMe();
  const [asked, setAsked] = useState<Tenant | null>(null);
  const [entering, setEntering] = useState<Tenant | null>(null);
  return (
    <>
      <Table caption="Tenants">
        <thead>
          <tr>
            <Th>Tenant</Th>
            <Th>State</Th>
            <Th className="hidden sm:table-cell">Since</Th>
            <Th>
              <span className="sr-only">Change</span>
            </Th>
          </tr>
        </thead>
        <tbody>
          {tenants.map((tenant) => (
            <tr key={tenant.id} data-testid="tenant">
              <Td>
                <span className="font-medium">{tenant.name}</span>
                {tenant.id === user.tenantId && <span className="ml-2 text-xs text-ink-3">yours</span>}
                {tenant.id === visiting?.id && <span className="ml-2 text-xs text-warn">you are inside</span>}
                <p className="hidden font-mono text-xs whitespace-nowrap text-ink-3 sm:block">{tenant.id}</p>
              </Td>
              <Td>
                <Badge tone={STATES[tenant.status]?.tone ?? "neutral"} dot>
                  {STATES[tenant.status]?.label ?? tenant.status}
                </Badge>
              </Td>
              <Td className="hidden whitespace-nowrap text-ink-2 sm:table-cell">
                {dateText(tenant.created_at)}
              </Td>
              <Td>
                <div className="flex flex-wrap justify-end gap-2">
                  {tenant.id !== user.tenantId && tenant.status === "active" && !visiting && (
                    <Button
                      look="quiet"
                      className="h-9"
                      aria-label={`Enter ${tenant.name}`}
                      onClick={() => setEntering(tenant)}
                    >
                      Enter
                    </Button>
                  )}
                  {tenant.id !== user.tenantId && tenant.status !== "deleted" && (
                    <Button
                      look="quiet"
                      className="h-9"
                      aria-label={`${tenant.status === "active" ? "Suspend" : "Let in"} ${tenant.name}`}
                      onClick={() => setAsked(tenant)}
                    >
                      {tenant.status === "active" ? "Suspend" : "Let in again"}
                    </Button>
                  )}
                </div>
              </Td>
            </tr>
          ))}
        </tbody>
      </Table>
      {asked && <StatusQuestion tenant={asked} onClose={() => setAsked(null)} />}
      {entering && <EnterQuestion tenant={entering} onClose={() => setEntering(null)} />}
    </>
  );
}

function StatusQuestion({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const change = useSetStatus(tenant.id);
  const isActive = tenant.status === "active";
  return (
    <Confirm
      title={isActive ? `Suspend ${tenant.name}?` : `Let ${tenant.name} in again?`}
      action={isActive ? "Suspend" : "Let in again"}
      busy={change.isPending}
      error={change.error}
      onConfirm={() => change.mutate(isActive ? "suspended" : "active", { onSuccess: onClose })}
      onClose={onClose}
    >
      {isActive
        ? "All its people and keys are refused within a second. Nothing of theirs is deleted."
        : "Its people and keys work again as before."}
    </Confirm>
  );
}

function EnterQuestion({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  const enter = useEnter(tenant.id);
  return (
    <Confirm
      title={`Enter ${tenant.name}?`}
      action="Enter"
      busy={enter.isPending}
      error={enter.error}
      onConfirm={() => enter.mutate()}
      onClose={onClose}
    >
      You act there as an owner until you leave. Its log and yours say that you came and left; what you do
      inside stands in its own.
    </Confirm>
  );
}

function NewTenantDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const addition = useAddTenant();
  const failure = beyondFields(addition.error, ["name", "email"]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() && email.trim()) addition.mutate({ name: name.trim(), owner_email: email.trim() });
  };
  if (addition.data) {
    return (
      <Modal
        open
        onClose={onClose}
        title={`${addition.data.tenant.name} is made`}
        description="The link of its first owner is not shown again."
      >
        <InvitationLink invited={addition.data.invited} />
        <div className="mt-5 flex justify-end">
          <Button onClick={onClose}>Done</Button>
        </div>
      </Modal>
    );
  }
  return (
    <Modal open onClose={onClose} title="New tenant">
      <form onSubmit={submit} className="space-y-4" autoComplete="off">
        <Field
          label="Name"
          name="tenant-name"
          autoFocus
          required
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.target.value)}
          error={fieldError(addition.error, "name")}
          hint="Its people write it when they sign in."
        />
        <Field
          label="E-mail of its first owner"
          type="email"
          name="owner-email"
          required
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          error={fieldError(addition.error, "email")}
        />
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={addition.isPending} disabled={!name.trim() || !email.trim()}>
            Make it
          </Button>
        </div>
      </form>
    </Modal>
  );
}
