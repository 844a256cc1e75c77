// API keys: programs sign in with them. A key is shown once, when it is made.
import { useQuery } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { Badge, type Tone } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { dollarsText } from "../../ui/money";
import { Empty, Panel } from "../../ui/Panel";
import { NewKeyDialog } from "./NewKeyDialog";
import { type ApiKey, keysQuery, useRevokeKey } from "./queries";
import { Row, Rows } from "./Rows";
import { agoText, dateText, type KeyState, keyState, SCOPES } from "./words";

const STATES: Record<KeyState, { label: string; tone: Tone }> = {
  active: { label: "Active", tone: "good" },
  expiring: { label: "Ends soon", tone: "warn" },
  expired: { label: "Expired", tone: "neutral" },
  revoked: { label: "Revoked", tone: "neutral" },
};

export function KeysPanel() {
  const keys = useQuery(keysQuery);
  const [adding, setAdding] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  return (
    <Panel
      title="API keys"
      about="For programs. A key may do what its scopes open, and never more than you."
      actions={
        <Button onClick={() => setAdding(true)}>
          <Plus aria-hidden className="size-4" /> New key
        </Button>
      }
    >
      <Rows
        query={keys}
        failed="Your keys could not be loaded"
        empty={<Empty title="No key yet">Make one for each program, so that you can revoke it alone.</Empty>}
        row={(key) => <KeyRow key={key.id} apiKey={key} onRevoke={() => setRevoking(key)} />}
      />
      {adding && <NewKeyDialog onClose={() => setAdding(false)} />}
      {revoking && <RevokeDialog apiKey={revoking} onClose={() => setRevoking(null)} />}
    </Panel>
  );
}

function KeyRow({ apiKey, onRevoke }: { apiKey: ApiKey; onRevoke: () => void }) {
  const now = new Date();
  const state = keyState(apiKey, now);
  const { label, tone } = STATES[state];
  const live = state === "active" || state === "expiring";
  return (
    <Row
      testId="api-key"
      icon={KeyRound}
      title={apiKey.name}
      badge={
        <Badge tone={tone} dot={live}>
          {label}
        </Badge>
      }
      about={
        <>
          <p>
            {apiKey.scopes.map(scopeLabel).join(", ")}
            {apiKey.models && ` · only ${apiKey.models.join(", ")}`}
            {apiKey.budget_usd !== null && ` · up to ${dollarsText(apiKey.budget_usd)}`}
          </p>
          <p className="text-ink-3">
            {apiKey.last_used_at ? `Last used ${agoText(apiKey.last_used_at, now)}` : "Never used"} ·{" "}
            {new Date(apiKey.expires_at) > now ? "until" : "ended"} {dateText(apiKey.expires_at)} ·{" "}
            <span className="font-mono text-xs">{apiKey.id}</span>
          </p>
        </>
      }
      action={
        live && (
          <Button look="quiet" className="h-9" aria-label={`Revoke ${apiKey.name}`} onClick={onRevoke}>
            Revoke
          </Button>
        )
      }
    />
  );
}

function scopeLabel(scope: string): string {
  return SCOPES.find((one) => one.scope === scope)?.label ?? scope;
}

function RevokeDialog({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const revoke = useRevokeKey();
  return (
    <Confirm
      title={`Revoke the key “${apiKey.name}”?`}
      action="Revoke the key"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate(apiKey.id, { onSuccess: onClose })}
      onClose={onClose}
    >
      Programs that use it are refused within a second. This cannot be undone; you can make a new key.
    </Confirm>
  );
}
