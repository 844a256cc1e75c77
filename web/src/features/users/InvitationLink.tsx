// A new invitation's link to copy, and whether it was sent by mail as well.
import type { components } from "../../api/schema";
import { Command } from "../../ui/copy";

export function InvitationLink({ invited }: { invited: components["schemas"]["Invited"] }) {
  const { invitation, link, is_sent } = invited;
  return (
    <div data-testid="invitation-link">
      <p className="mb-3 text-ink-2">
        {is_sent
          ? `It was sent to ${invitation.email}. If it does not arrive, hand over this link:`
          : `Hand this link to ${invitation.email}; no mail was sent. Whoever has it can join, once.`}
      </p>
      <Command>{link}</Command>
    </div>
  );
}
