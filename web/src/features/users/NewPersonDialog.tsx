// Adding a person with a first password, which is handed over to them.
import { Dices } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Command } from "../../ui/copy";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { judgePassword } from "../auth/password";
import { newPassword } from "./people";
import { type NewPerson, useAddPerson } from "./queries";
import { RolesField } from "./RolesField";

const FIELDS = ["name", "email", "password", "roles"];

export function NewPersonDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState(() => newPassword());
  const [roles, setRoles] = useState(["member"]);
  const addition = useAddPerson();
  const failure = beyondFields(addition.error, FIELDS);
  const complete = name.trim() && email.trim() && judgePassword(password).acceptable && roles.length > 0;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!complete) return;
    const body: NewPerson = { name: name.trim(), email: email.trim(), password, roles };
    addition.mutate(body);
  };

  if (addition.isSuccess)
    return <Added name={name.trim()} email={email.trim()} password={password} onClose={onClose} />;
  return (
    <Modal open onClose={onClose} title="Add a person">
      <form onSubmit={submit} className="space-y-4" autoComplete="off">
        <Field
          label="Name"
          name="person-name"
          autoComplete="off"
          autoFocus
          required
          maxLength={200}
          value={name}
          onChange={(event) => setName(event.target.value)}
          error={fieldError(addition.error, "name")}
        />
        <Field
          label="E-mail"
          type="email"
          name="person-email"
          autoComplete="off"
          required
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          error={fieldError(addition.error, "email")}
        />
        <div className="flex items-start gap-2">
          <Field
            label="First password"
            name="person-password"
            autoComplete="off"
            spellCheck={false}
            required
            className="min-w-0 flex-1 [&_input]:font-mono [&_input]:text-[0.9375rem]"
            value={password}
            onChange={(event) => setPassword(event.target.value)}
            error={fieldError(addition.error, "password")}
            hint="Hand it over in person. They change it on their account page."
          />
          <Button
            look="quiet"
            className="mt-7.5 h-11 px-3"
            aria-label="Make another password"
            title="Make another password"
            onClick={() => setPassword(newPassword())}
          >
            <Dices aria-hidden className="size-4.5" />
          </Button>
        </div>
        <RolesField
          value={roles}
          onChange={setRoles}
          error={roles.length === 0 ? "Choose at least one." : fieldError(addition.error, "roles")}
        />
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={addition.isPending} disabled={!complete}>
            Add
          </Button>
        </div>
      </form>
    </Modal>
  );
}

interface AddedProps {
  name: string;
  email: string;
  password: string;
  onClose: () => void;
}

function Added({ name, email, password, onClose }: AddedProps) {
  return (
    <Modal
      open
      onClose={onClose}
      title={`${name} may sign in`}
      description="The password is not shown again."
    >
      <dl className="space-y-3">
        <div>
          <dt className="mb-1 text-sm text-ink-3">E-mail</dt>
          <dd>{email}</dd>
        </div>
        <div>
          <dt className="mb-1 text-sm text-ink-3">First password</dt>
          <dd>
            <Command>{password}</Command>
          </dd>
        </div>
      </dl>
      <div className="mt-5 flex justify-end">
        <Button onClick={onClose}>Done</Button>
      </div>
    </Modal>
  );
}
