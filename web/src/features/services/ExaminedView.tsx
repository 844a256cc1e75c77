// What a service says of a person: who that would be here, and its claims.
import { Notice } from "../../ui/Notice";
import { refusedMessage } from "../auth/messages";
import type { Examined } from "./queries";

export function ExaminedView({ examined }: { examined: Examined }) {
  const facts: [string, string][] = [
    ["Person", examined.subject],
    ["Roles here", examined.roles.join(", ") || "none"],
    ["Known here", examined.is_known ? "yes" : "not yet; added at the first sign-in"],
    ["Tenant", examined.tenant],
  ];
  return (
    <div data-testid="examined">
      {examined.refused && (
        <Notice kind="warn" className="mb-4" title="They would be refused">
          <p>{refusedMessage(examined.refused)}</p>
          <p className="font-mono text-xs">{examined.refused}</p>
        </Notice>
      )}
      <dl className="space-y-1.5 text-sm">
        {facts.map(([name, value]) => (
          <div key={name} className="flex gap-3">
            <dt className="w-24 shrink-0 text-ink-3">{name}</dt>
            <dd className="min-w-0 break-all">{value}</dd>
          </div>
        ))}
      </dl>
      <h3 className="mt-4 mb-1.5 text-sm font-medium text-ink-2">Claims</h3>
      <pre className="max-h-72 overflow-auto rounded-lg border border-line bg-(--code-bg) p-3 font-mono text-xs text-(--code-ink)">
        {JSON.stringify(examined.claims, null, 2)}
      </pre>
    </div>
  );
}
