// Which groups of a service have which roles: the claim that names them, and a line for each.
import { useQuery } from "@tanstack/react-query";
import { Plus, X } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button, IconButton } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Notice } from "../../ui/Notice";
import { useMe } from "../auth/session";
import { rolesQuery } from "../roles/queries";
import { coversRole } from "../roles/rights";
import { type Service, useMapGroups } from "./queries";
import { doubled, groupsOf, type Line, linesOf } from "./words";

export function GroupsForm({ service }: { service: Service }) {
  const me = useMe();
  const roles = useQuery(rolesQuery).data ?? [];
  const [claim, setClaim] = useState(service.groups_claim);
  const [lines, setLines] = useState(() => linesOf(service.groups));
  const map = useMapGroups(service.alias);
  const failure = beyondFields(map.error, ["groups_claim"]);
  const twice = doubled(lines);
  const changed =
    claim !== service.groups_claim || JSON.stringify(groupsOf(lines)) !== JSON.stringify(service.groups);

  const put = (id: number, part: Partial<Line>) =>
    setLines(lines.map((line) => (line.id === id ? { ...line, ...part } : line)));
  const add = () =>
    setLines([...lines, { id: Math.max(-1, ...lines.map(({ id }) => id)) + 1, group: "", role: "member" }]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (changed && !twice) map.mutate({ groups_claim: claim.trim(), groups: groupsOf(lines) });
  };

  return (
    <form onSubmit={submit} className="mt-4 border-t border-line pt-4" autoComplete="off">
      <h3 className="flex flex-wrap items-center gap-2.5 font-semibold">
        Groups and roles
        <Badge>{service.is_set_here ? "Set here" : "From the settings"}</Badge>
      </h3>
      <p className="mt-0.5 text-sm text-ink-2">
        In effect with a person’s next sign-in, and at once for access tokens. Who is in none of the groups is
        refused, unless no group and no role is mapped: then new people get the role “{service.default_role}”.
      </p>
      <ul className="mt-3 space-y-2">
        {lines.map((line) => (
          <li key={line.id} data-testid="group" className="flex flex-wrap items-center gap-2">
            <input
              aria-label="Group"
              value={line.group}
              maxLength={300}
              spellCheck={false}
              placeholder="Name or id of a group"
              onChange={(event) => put(line.id, { group: event.target.value })}
              className="h-10 min-w-0 flex-1 basis-52 rounded-lg border border-line-strong bg-surface px-3 font-mono text-sm"
            />
            <select
              aria-label={`Role of the group ${line.group}`}
              value={line.role}
              onChange={(event) => put(line.id, { role: event.target.value })}
              className="h-10 rounded-lg border border-line-strong bg-surface px-2.5"
            >
              {roles.map((role) => (
                <option key={role.name} value={role.name} disabled={!coversRole(me, role.permissions)}>
                  {role.label}
                </option>
              ))}
            </select>
            <IconButton
              label={`Remove the group ${line.group}`}
              onClick={() => setLines(lines.filter(({ id }) => id !== line.id))}
            >
              <X aria-hidden className="size-4" />
            </IconButton>
          </li>
        ))}
      </ul>
      <Button look="quiet" className="mt-2 h-9" onClick={add}>
        <Plus aria-hidden className="size-4" /> Add a group
      </Button>
      <Field
        label="Claim that names the groups"
        name="groups-claim"
        className="mt-4 max-w-sm"
        spellCheck={false}
        maxLength={200}
        value={claim}
        onChange={(event) => setClaim(event.target.value)}
        error={fieldError(map.error, "groups_claim")}
        hint="Its name in the token, or its path with dots."
      />
      {twice && (
        <Notice kind="warn" className="mt-3">
          The group “{twice}” stands there twice. Give a person both roles by two groups, or make a role that
          unites them.
        </Notice>
      )}
      {failure && <Failure className="mt-3" error={failure} />}
      <div className="mt-4 flex flex-wrap items-center gap-3">
        <Button type="submit" className="h-9" busy={map.isPending} disabled={!changed || twice !== null}>
          Save the groups
        </Button>
        {service.is_set_here && (
          <Button
            look="quiet"
            className="h-9"
            busy={map.isPending}
            onClick={() => map.mutate({ groups_claim: null, groups: null })}
          >
            Back to the settings
          </Button>
        )}
        <span role="status" className="text-sm text-ink-2">
          {map.isSuccess && !changed ? "Saved." : ""}
        </span>
      </div>
    </form>
  );
}
