// Which roles a person has; those that one may not hand out are shown and locked.
import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { Skeleton } from "../../ui/Skeleton";
import { useMe } from "../auth/session";
import { rolesQuery } from "../roles/queries";
import { coversRole } from "../roles/rights";

interface RolesFieldProps {
  value: string[];
  onChange: (roles: string[]) => void;
  disabled?: boolean;
  error?: string | null;
}

export function RolesField({ value, onChange, disabled = false, error }: RolesFieldProps) {
  const me = useMe();
  const id = useId();
  const roles = useQuery(rolesQuery);
  if (!roles.data) return <Skeleton className="h-48" />;
  return (
    <fieldset>
      <legend className="mb-1.5 font-medium">Roles</legend>
      <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
        {roles.data.map(({ name: role, label, about, permissions }) => (
          <li key={role} className="flex items-start gap-3 px-3.5 py-2.5">
            <input
              id={`${id}-${role}`}
              type="checkbox"
              checked={value.includes(role)}
              disabled={disabled || !coversRole(me, permissions)}
              aria-describedby={`${id}-${role}-about`}
              onChange={(event) =>
                onChange(event.target.checked ? [...value, role] : value.filter((other) => other !== role))
              }
              className="mt-1 size-4 shrink-0 accent-(--accent)"
            />
            <div className="min-w-0">
              <label htmlFor={`${id}-${role}`} className="font-medium">
                {label}
              </label>
              <p id={`${id}-${role}-about`} className="text-sm text-ink-2">
                {about}
              </p>
            </div>
          </li>
        ))}
      </ul>
      {error && <p className="mt-1.5 text-sm text-danger">{error}</p>}
    </fieldset>
  );
}
