// One person: name, roles, what these permit, whether they may sign in, and the ways to help or stop them.
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { Notice } from "../../ui/Notice";
import { Skeleton } from "../../ui/Skeleton";
import { useMe } from "../auth/session";
import { rolesQuery } from "../roles/queries";
import { mayManage, rightsOf, WINDOWS } from "./people";
import { type Person, permissionsQuery, useChangePerson, useResetFactors, useSignOutPerson } from "./queries";
import { RolesField } from "./RolesField";

export function PersonSheet({ person, onClose }: { person: Person; onClose: () => void }) {
  const me = useMe();
  const roles = useQuery(rolesQuery);
  const managed = roles.data !== undefined && mayManage(me, person, roles.data);
  return (
    <Modal
      open
      onClose={onClose}
      shape="sheet"
      title={person.name || person.handle}
      description={person.email}
    >
      {roles.data && !managed && (
        <Notice kind="info" className="mb-5">
          This person may do more than you, so only somebody who may do as much changes them.
        </Notice>
      )}
      <PersonForm person={person} managed={managed} />
      <Rights person={person} />
      {managed && <Access person={person} isMe={person.id === me.user.id} />}
    </Modal>
  );
}

function PersonForm({ person, managed }: { person: Person; managed: boolean }) {
  const [name, setName] = useState(person.name);
  const [roles, setRoles] = useState(person.roles);
  const change = useChangePerson(person.id);
  const failure = beyondFields(change.error, ["name", "roles"]);
  const renamed = name.trim() !== person.name;
  const moved = [...roles].sort().join() !== [...person.roles].sort().join();
  const changed = renamed || moved;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!changed || !name.trim() || roles.length === 0) return;
    change.mutate({ ...(renamed && { name: name.trim() }), ...(moved && { roles }) });
  };

  return (
    <form onSubmit={submit} className="space-y-4">
      <Field
        label="Name"
        name="person-name"
        autoComplete="off"
        required
        maxLength={200}
        disabled={!managed}
        value={name}
        onChange={(event) => setName(event.target.value)}
        error={fieldError(change.error, "name")}
      />
      <RolesField
        value={roles}
        onChange={setRoles}
        disabled={!managed}
        error={roles.length === 0 ? "Choose at least one." : fieldError(change.error, "roles")}
      />
      {person.issuer && (
        <p className="text-sm text-ink-3">
          {person.issuer === WINDOWS
            ? "Signs in with a Windows account, and so administers nothing, whatever these roles say."
            : `Signs in by ${person.issuer}. Where that service decides the roles, its next token replaces these.`}
        </p>
      )}
      {failure && <Failure error={failure} />}
      {managed && (
        <div className="flex items-center gap-3">
          <Button
            type="submit"
            busy={change.isPending}
            disabled={!changed || !name.trim() || roles.length === 0}
          >
            Save
          </Button>
          <span role="status" className="text-sm text-ink-2">
            {change.isSuccess && !changed ? "Saved." : ""}
          </span>
        </div>
      )}
    </form>
  );
}

function Rights({ person }: { person: Person }) {
  const permissions = useQuery(permissionsQuery(person.id));
  return (
    <section className="mt-7 border-t border-line pt-5">
      <h3 className="font-semibold">What the roles permit together</h3>
      {permissions.isPending && <Skeleton className="mt-3 h-32" />}
      {permissions.isError && (
        <Failure className="mt-3" error={permissions.error} onRetry={() => void permissions.refetch()} />
      )}
      {permissions.data && (
        <dl className="mt-2.5 space-y-1.5 text-sm" data-testid="rights">
          {rightsOf(permissions.data.permissions).map(({ group, granted }) => (
            <div key={group} className="flex gap-3">
              <dt className="w-28 shrink-0 text-ink-3">{group}</dt>
              <dd className="min-w-0">{granted.join(", ") || "nothing"}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

type Question = "sign-out" | "reset" | "suspend" | "deactivate";

function Access({ person, isMe }: { person: Person; isMe: boolean }) {
  const [question, setQuestion] = useState<Question | null>(null);
  const change = useChangePerson(person.id);
  const active = person.status === "active";
  return (
    <section className="mt-7 border-t border-line pt-5">
      <h3 className="font-semibold">Access</h3>
      <div className="mt-3 flex flex-wrap gap-2">
        <Button look="quiet" className="h-9" onClick={() => setQuestion("sign-out")}>
          Sign out everywhere
        </Button>
        <Button look="quiet" className="h-9" onClick={() => setQuestion("reset")}>
          Reset second factors
        </Button>
        {!active && (
          <Button className="h-9" busy={change.isPending} onClick={() => change.mutate({ status: "active" })}>
            Let them in again
          </Button>
        )}
        {active && !isMe && (
          <>
            <Button look="quiet" className="h-9" onClick={() => setQuestion("suspend")}>
              Suspend
            </Button>
            <Button look="quiet" className="h-9 text-danger" onClick={() => setQuestion("deactivate")}>
              Deactivate
            </Button>
          </>
        )}
      </div>
      {change.error && <Failure className="mt-3" error={change.error} />}
      {question && <Asked person={person} question={question} onClose={() => setQuestion(null)} />}
    </section>
  );
}

const QUESTIONS: Record<Question, { title: string; action: string; text: string }> = {
  "sign-out": {
    title: "Sign this person out everywhere?",
    action: "Sign out everywhere",
    text: "All their sessions end within a second. They can sign in again; their keys go on working.",
  },
  reset: {
    title: "Reset this person’s second factors?",
    action: "Reset second factors",
    text: "Their authenticator app, passkeys and recovery codes are removed. Be sure that it is they who asked.",
  },
  suspend: {
    title: "Suspend this person?",
    action: "Suspend",
    text: "Their sessions and keys stop within a second, until you let them in again. Nothing of theirs is deleted.",
  },
  deactivate: {
    title: "Deactivate this person?",
    action: "Deactivate",
    text: "For somebody who has left: their sessions and keys stop within a second. Nothing of theirs is deleted.",
  },
};

function Asked({ person, question, onClose }: { person: Person; question: Question; onClose: () => void }) {
  const signOut = useSignOutPerson(person.id);
  const reset = useResetFactors(person.id);
  const change = useChangePerson(person.id);
  const { title, action, text } = QUESTIONS[question];
  const all = [signOut, reset, change];
  const go = () => {
    const done = { onSuccess: onClose };
    if (question === "sign-out") signOut.mutate(undefined, done);
    else if (question === "reset") reset.mutate(undefined, done);
    else change.mutate({ status: question === "suspend" ? "suspended" : "deactivated" }, done);
  };
  return (
    <Confirm
      title={title}
      action={action}
      busy={all.some(({ isPending }) => isPending)}
      error={all.find(({ error }) => error)?.error ?? null}
      onConfirm={go}
      onClose={onClose}
    >
      <p className="font-medium text-ink">{person.name || person.email}</p>
      <p>{text}</p>
    </Confirm>
  );
}
