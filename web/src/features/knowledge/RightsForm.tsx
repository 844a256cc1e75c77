// Who may read a document: nobody else, everyone, or those who are named.
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { Notice } from "../../ui/Notice";
import { mayAdmin } from "../admin/entries";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { type Document, peopleQuery, type Rights, useSetRights, type Visibility } from "./queries";
import { isForEveryone, tagsOf, visibilityWords } from "./words";

const modes: Visibility[] = ["private", "shared", "restricted"];

export function RightsForm({ document }: { document: Document }) {
  const me = useMe();
  const [mode, setMode] = useState(document.visibility_mode);
  const [tags, setTags] = useState(document.audience_tags.join(", "));
  const [grants, setGrants] = useState(document.user_grants);
  const [asked, setAsked] = useState(false);
  const save = useSetRights(document.id);
  const editable = document.may_manage && may(me, "memory", "share");
  const rights: Rights = {
    visibility_mode: mode,
    audience_tags: mode === "private" ? [] : tagsOf(tags),
    user_grants: mode === "restricted" ? grants : [],
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isForEveryone(rights)) setAsked(true);
    else save.mutate({ rights, confirmed: false });
  };
  return (
    <form onSubmit={submit} className="space-y-5">
      {!editable && (
        <Notice kind="info">
          <p>
            {document.may_manage
              ? "Your roles do not let you share documents."
              : "Only its owner and administrators change who reads it."}
          </p>
        </Notice>
      )}
      <fieldset disabled={!editable} className="space-y-2">
        <legend className="sr-only">Who may read it</legend>
        {modes.map((one) => (
          <label
            key={one}
            className={cx(
              "flex gap-3 rounded-xl border bg-surface px-4 py-3",
              editable && "cursor-pointer",
              mode === one ? "border-accent" : "border-line",
            )}
          >
            <input
              type="radio"
              name="visibility"
              className="mt-1 size-4 shrink-0 accent-(--accent)"
              checked={mode === one}
              onChange={() => setMode(one)}
            />
            <span>
              <span className="block font-medium">{visibilityWords[one].label}</span>
              <span className="block text-sm text-ink-2">{visibilityWords[one].about}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {mode !== "private" && (
        <Field
          label="Audience tags"
          disabled={!editable}
          autoComplete="off"
          placeholder="legal, sales"
          value={tags}
          onChange={(event) => setTags(event.target.value)}
          hint="Parted by commas. A person’s roles are tags of theirs too."
        />
      )}
      {mode === "restricted" && <People grants={grants} editable={editable} onChange={setGrants} />}
      {save.error && <Failure title="The rights were not changed" error={save.error} />}
      {editable && (
        <div className="flex items-center gap-3">
          <Button type="submit" busy={save.isPending && !asked}>
            Save
          </Button>
          <p role="status" className="text-sm text-ink-3">
            {save.isSuccess && "Saved. It holds from the next search on."}
          </p>
        </div>
      )}
      {asked && (
        <Confirm
          title="Share this with everyone?"
          action="Share with everyone"
          busy={save.isPending}
          error={save.error}
          onConfirm={() => save.mutate({ rights, confirmed: true }, { onSuccess: () => setAsked(false) })}
          onClose={() => setAsked(false)}
        >
          Everyone in this AIBox will find “{document.title}” in their chats. Name audience tags to share it
          with fewer.
        </Confirm>
      )}
    </form>
  );
}

interface PeopleProps {
  grants: string[];
  editable: boolean;
  onChange: (grants: string[]) => void;
}

function People({ grants, editable, onChange }: PeopleProps) {
  const mayList = mayAdmin(useMe(), "manage_users");
  const people = useQuery({ ...peopleQuery, enabled: mayList });
  if (!mayList) {
    return (
      <p className="text-sm text-ink-2">
        {grants.length === 0
          ? "No person is named. Who administers people can name some; audience tags work for everyone."
          : `${grants.length === 1 ? "1 person is" : `${grants.length} people are`} named. Who administers people sees whom.`}
      </p>
    );
  }
  if (people.error) return <Failure error={people.error} onRetry={() => void people.refetch()} />;
  return (
    <fieldset disabled={!editable}>
      <legend className="mb-1.5 font-medium">People</legend>
      <ul className="max-h-60 divide-y divide-line overflow-y-auto rounded-xl border border-line bg-surface">
        {people.data?.users.map((user) => (
          <li key={user.id}>
            <label className="flex cursor-pointer items-center gap-3 px-4 py-2">
              <input
                type="checkbox"
                className="size-4 accent-(--accent)"
                checked={grants.includes(user.id)}
                onChange={(event) =>
                  onChange(
                    event.target.checked ? [...grants, user.id] : grants.filter((one) => one !== user.id),
                  )
                }
              />
              <span className="min-w-0 truncate">
                {user.name || user.email}{" "}
                <span className="text-sm text-ink-3">{user.name && user.email}</span>
              </span>
            </label>
          </li>
        ))}
      </ul>
    </fieldset>
  );
}
