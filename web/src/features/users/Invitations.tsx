// Who was invited and has not joined yet, with a way to take it back.
import { useQuery } from "@tanstack/react-query";
import { MailQuestion } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Panel } from "../../ui/Panel";
import { List, Row } from "../account/Rows";
import { agoText, dateText } from "../account/words";
import { rolesQuery } from "../roles/queries";
import { roleLabel } from "./people";
import { type Invitation, invitationsQuery, useRevokeInvitation } from "./queries";

export function Invitations() {
  const invitations = useQuery(invitationsQuery);
  const [revoking, setRevoking] = useState<Invitation | null>(null);
  if (invitations.isError) {
    return (
      <Failure
        className="mt-9"
        title="The invitations could not be loaded"
        error={invitations.error}
        onRetry={() => void invitations.refetch()}
      />
    );
  }
  if (!invitations.data?.length) return null;
  return (
    <Panel title="Invited" about="They have not joined yet. Each link works once." className="mt-9">
      <List>
        {invitations.data.map((invitation) => (
          <InvitationRow
            key={invitation.id}
            invitation={invitation}
            onRevoke={() => setRevoking(invitation)}
          />
        ))}
      </List>
      {revoking && <Revocation invitation={revoking} onClose={() => setRevoking(null)} />}
    </Panel>
  );
}

function InvitationRow({ invitation, onRevoke }: { invitation: Invitation; onRevoke: () => void }) {
  const roles = useQuery(rolesQuery).data ?? [];
  const now = new Date();
  const expired = new Date(invitation.expires_at) <= now;
  return (
    <Row
      testId="invitation"
      icon={MailQuestion}
      title={invitation.email}
      badge={expired && <Badge tone="warn">Expired</Badge>}
      about={
        <>
          {invitation.roles.map((role) => roleLabel(role, roles)).join(", ")} · invited{" "}
          {agoText(invitation.created_at, now)} · {expired ? "ended" : "until"}{" "}
          {dateText(invitation.expires_at)}
        </>
      }
      action={
        <Button
          look="quiet"
          className="h-9"
          aria-label={`Revoke the invitation of ${invitation.email}`}
          onClick={onRevoke}
        >
          Revoke
        </Button>
      }
    />
  );
}

function Revocation({ invitation, onClose }: { invitation: Invitation; onClose: () => void }) {
  const revoke = useRevokeInvitation();
  return (
    <Confirm
      title={`Revoke the invitation of ${invitation.email}?`}
      action="Revoke the invitation"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate(invitation.id, { onSuccess: onClose })}
      onClose={onClose}
    >
      The link no longer opens. You can invite them again.
    </Confirm>
  );
}
