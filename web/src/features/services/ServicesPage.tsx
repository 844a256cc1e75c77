// Administration: the other services that people sign in with, their keys, and which of their groups have which roles.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Command } from "../../ui/copy";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { AdminPage } from "../admin/AdminFrame";
import { ExaminedView } from "./ExaminedView";
import { GroupsForm } from "./GroupsForm";
import { type Service, servicesQuery, useCheck, useTested } from "./queries";
import { TestDialog } from "./TestDialog";
import { healthOf } from "./words";

export default function ServicesPage() {
  const services = useQuery(servicesQuery);
  return (
    <AdminPage
      title="Sign-in services"
      about="Services such as Keycloak or Entra that vouch for people here. The operator names them in the settings; which groups have which roles is decided here."
      permission="manage_roles"
    >
      <ComeBack />
      {services.isPending && <SkeletonRows rows={2} className="h-40" />}
      {services.isError && (
        <Failure
          title="The services could not be loaded"
          error={services.error}
          onRetry={() => void services.refetch()}
        />
      )}
      {services.data?.services.length === 0 && (
        <Empty title="No other service is set up">
          People sign in with accounts of this AIBox. An operator adds a service in{" "}
          <code className="font-mono">aibox.toml</code>, as docs/identity.md shows.
        </Empty>
      )}
      {services.data && services.data.services.length > 0 && (
        <>
          <div className="space-y-6">
            {services.data.services.map((service) => (
              <ServiceCard key={service.alias} service={service} />
            ))}
          </div>
          <p className="mt-8 mb-2 text-sm text-ink-2">The address to register with each service:</p>
          <Command className="max-w-xl">{services.data.callback}</Command>
        </>
      )}
    </AdminPage>
  );
}

function ServiceCard({ service }: { service: Service }) {
  const check = useCheck(service.alias);
  const [testing, setTesting] = useState(false);
  const health = healthOf(service.health);
  return (
    <section
      aria-label={service.name}
      data-testid="sign-in-service"
      className="rounded-2xl border border-line bg-surface px-4 py-4 sm:px-5"
    >
      <div className="flex flex-wrap items-start gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-64">
          <h2 className="flex flex-wrap items-center gap-x-2.5 text-lg font-semibold tracking-tight">
            {service.name}
            <Badge tone={health.tone} dot>
              {health.label}
            </Badge>
          </h2>
          <p className="text-sm break-all text-ink-2">{service.iss}</p>
          <p className="text-sm text-ink-3">{health.about}</p>
        </div>
        <div className="flex flex-wrap gap-2">
          <Button look="quiet" className="h-9" busy={check.isPending} onClick={() => check.mutate()}>
            Fetch its keys
          </Button>
          <Button look="quiet" className="h-9" onClick={() => setTesting(true)}>
            Test…
          </Button>
        </div>
      </div>
      {check.error && <Failure className="mt-3" error={check.error} />}
      <Facts service={service} />
      <GroupsForm key={String(service.is_set_here)} service={service} />
      {testing && <TestDialog service={service} onClose={() => setTesting(false)} />}
    </section>
  );
}

function Facts({ service }: { service: Service }) {
  const roles = Object.entries(service.roles).map(([theirs, ours]) => `${theirs} → ${ours}`);
  const facts: [string, string][] = [
    ["Keys", service.jwks_url],
    ["Signs in at", service.authorization_url || "Not in browsers: access tokens only"],
    ["Takes tokens for", service.audiences.join(", ")],
    ["Of the clients", service.clients.join(", ")],
    ["Roles in its tokens", roles.join(", ") || "Not used"],
  ];
  return (
    <details className="mt-3 text-sm">
      <summary className="w-fit cursor-pointer rounded-sm text-ink-2 hover:text-ink">
        What the settings say of it
      </summary>
      <dl className="mt-2 space-y-1.5">
        {facts.map(([name, value]) => (
          <div key={name} className="gap-3 sm:flex">
            <dt className="w-36 shrink-0 text-ink-3">{name}</dt>
            <dd className="min-w-0 break-all">{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

/** Where the other service sent back to after a test sign-in: what it said. */
function ComeBack() {
  const [test] = useState(() => new URLSearchParams(window.location.hash.slice(1)).get("test"));
  const [open, setOpen] = useState(test !== null);
  const { mutate: read, data, error } = useTested();
  useEffect(() => {
    if (test === null) return;
    window.history.replaceState(window.history.state, "", window.location.pathname);
    read(test);
  }, [test, read]);
  if (!open) return null;
  return (
    <Modal
      open
      onClose={() => setOpen(false)}
      title="What came back"
      description="Nobody was signed in by it."
    >
      {error && <Failure error={error} />}
      {data && <ExaminedView examined={data} />}
      {!data && !error && <SkeletonRows rows={4} />}
    </Modal>
  );
}
