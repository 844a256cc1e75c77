// The name that others see.
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Panel } from "../../ui/Panel";
import { useMe } from "../auth/session";
import { useRename } from "./queries";

export function ProfilePanel() {
  const { user, roles } = useMe();
  const [name, setName] = useState(user.displayName);
  const rename = useRename();
  const failure = beyondFields(rename.error, ["name"]);
  const changed = name.trim() !== user.displayName;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (changed && name.trim()) rename.mutate(name.trim());
  };
  return (
    <Panel title="Profile">
      <form
        onSubmit={submit}
        className="space-y-4 rounded-2xl border border-line bg-surface px-4 py-4 sm:px-5"
      >
        <Field
          label="Name"
          name="name"
          autoComplete="name"
          required
          maxLength={200}
          value={name}
          onChange={(event) => setName(event.target.value)}
          error={fieldError(rename.error, "name")}
        />
        <dl className="flex flex-wrap gap-x-10 gap-y-3 text-sm">
          <div>
            <dt className="text-ink-3">Handle</dt>
            <dd>{user.handle}</dd>
          </div>
          <div>
            <dt className="text-ink-3">{roles.length === 1 ? "Role" : "Roles"}</dt>
            <dd>{roles.join(", ")}</dd>
          </div>
        </dl>
        {failure && <Failure error={failure} />}
        <div className="flex items-center gap-3">
          <Button type="submit" busy={rename.isPending} disabled={!changed || !name.trim()}>
            Save the name
          </Button>
          <span role="status" className="text-sm text-ink-2">
            {rename.isSuccess && !changed ? "Saved." : ""}
          </span>
        </div>
      </form>
    </Panel>
  );
}
