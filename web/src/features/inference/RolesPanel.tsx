// Who answers for each role: the model that is asked first, and who is asked when it fails.
import { useQuery } from "@tanstack/react-query";
import { Pencil } from "lucide-react";
import { useState } from "react";
import { IconButton } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Panel } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { providersQuery, rolesQuery } from "./queries";
import { RoleDialog } from "./RoleDialog";
import { roleWords } from "./words";

export function RolesPanel() {
  const roles = useQuery(rolesQuery);
  const providers = useQuery(providersQuery).data ?? [];
  const [edited, setEdited] = useState<string | null>(null);
  const target = edited ? roles.data?.[edited] : null;
  return (
    <Panel
      title="Roles"
      about="AIBox and its clients ask for a role; the first of its models answers, the next ones when it cannot."
    >
      {roles.isPending && <SkeletonRows rows={5} />}
      {roles.isError && !roles.data && (
        <Failure
          title="The roles could not be loaded"
          error={roles.error}
          onRetry={() => void roles.refetch()}
        />
      )}
      {roles.data && (
        <ul className="divide-y divide-line rounded-2xl border border-line bg-surface">
          {Object.entries(roles.data).map(([alias, leads]) => (
            <li
              key={alias}
              data-testid={`role-${alias}`}
              className="flex items-start gap-3 px-4 py-3 sm:px-5"
            >
              <div className="grid min-w-0 flex-1 gap-x-6 gap-y-1.5 sm:grid-cols-[15rem_1fr]">
                <div>
                  <h3 className="font-medium">{alias}</h3>
                  <p className="text-[0.8125rem] leading-snug text-ink-3">{roleWords[alias] ?? ""}</p>
                </div>
                <Targets models={leads ? [leads.model, ...leads.fallbacks] : []} />
              </div>
              <IconButton label={`Edit the role ${alias}`} onClick={() => setEdited(alias)}>
                <Pencil aria-hidden className="size-4" />
              </IconButton>
            </li>
          ))}
        </ul>
      )}
      {edited && (
        <RoleDialog
          alias={edited}
          models={target ? [target.model, ...target.fallbacks] : []}
          providers={providers}
          onClose={() => setEdited(null)}
        />
      )}
    </Panel>
  );
}

function Targets({ models }: { models: string[] }) {
  if (models.length === 0) return <p className="text-sm text-ink-3">No model is set.</p>;
  return (
    <ol className="space-y-1 text-[0.8125rem]">
      {models.map((name, place) => (
        <li key={name} className="flex items-baseline gap-2">
          <span className="w-10 shrink-0 text-xs text-ink-3">{place === 0 ? "first" : "then"}</span>
          <span className="min-w-0 font-mono break-all">{name}</span>
        </li>
      ))}
    </ol>
  );
}
