// Inviting a person: to whom, with which roles and for how long; then the link, which is shown this once.
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { Select } from "../../ui/Select";
import { InvitationLink } from "./InvitationLink";
import { useInvite } from "./queries";
import { RolesField } from "./RolesField";

const DAYS = [1, 7, 14, 30];

export function InviteDialog({ onClose }: { onClose: () => void }) {
  const [email, setEmail] = useState("");
  const [roles, setRoles] = useState(["member"]);
  const [days, setDays] = useState(7);
  const invite = useInvite();
  const failure = beyondFields(invite.error, ["email", "roles"]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (email.trim() && roles.length > 0) invite.mutate({ email: email.trim(), roles, days });
  };

  if (invite.data) {
    return (
      <Modal open onClose={onClose} title="The invitation is made" description="Its link is not shown again.">
        <InvitationLink invited={invite.data} />
        <div className="mt-5 flex justify-end">
          <Button onClick={onClose}>Done</Button>
        </div>
      </Modal>
    );
  }
  return (
    <Modal
      open
      onClose={onClose}
      title="Invite a person"
      description="They choose their own password, or sign in with a service that you use."
    >
      <form onSubmit={submit} className="space-y-4" autoComplete="off">
        <Field
          label="E-mail"
          type="email"
          name="invited-email"
          autoComplete="off"
          autoFocus
          required
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          error={fieldError(invite.error, "email")}
        />
        <RolesField
          value={roles}
          onChange={setRoles}
          error={roles.length === 0 ? "Choose at least one." : fieldError(invite.error, "roles")}
        />
        <Select
          label="The link works for"
          value={days}
          onChange={(event) => setDays(Number(event.target.value))}
        >
          {DAYS.map((count) => (
            <option key={count} value={count}>
              {count === 1 ? "1 day" : `${count} days`}
            </option>
          ))}
        </Select>
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={invite.isPending} disabled={!email.trim() || roles.length === 0}>
            Invite
          </Button>
        </div>
      </form>
    </Modal>
  );
}
