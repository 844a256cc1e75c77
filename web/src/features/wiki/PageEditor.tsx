// Writing a page in Markdown. When somebody else saved first, nothing is lost: theirs is shown, and the writer decides.
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Notice } from "../../ui/Notice";
import { Tabs } from "../../ui/Tabs";
import { TextArea } from "../../ui/TextArea";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { DiffView } from "./DiffView";
import { slugOf } from "./links";
import { PageText } from "./PageText";
import { pageQuery, useSavePage, type WikiPage } from "./queries";

interface PageEditorProps {
  /** Absent where the writer still chooses it. */
  topic?: string;
  /** The version that is changed; absent for a new page. */
  page?: WikiPage;
  onSaved: (page: WikiPage) => void;
  onCancel: () => void;
}

export function PageEditor({ topic, page, onSaved, onCancel }: PageEditorProps) {
  const [name, setName] = useState(topic ?? "");
  const [content, setContent] = useState(page?.content ?? "");
  const [base, setBase] = useState(page?.version);
  const me = useMe();
  const save = useSavePage();
  const stale = save.error instanceof ApiError && save.error.code === "wiki_stale";
  const failure = stale ? null : beyondFields(save.error, ["topic", "content"]);
  const saveAfter = (version: number | undefined) =>
    save.mutate({ topic: name.trim(), content, base_version: version ?? null }, { onSuccess: onSaved });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    saveAfter(base);
  };
  return (
    <form onSubmit={submit} className="space-y-5">
      {topic === undefined && (
        <Field
          label="Topic"
          required
          autoFocus
          maxLength={200}
          placeholder="Vacation rules"
          value={name}
          onChange={(event) => setName(event.target.value)}
          error={fieldError(save.error, "topic")}
          hint="Other pages name it as [[Vacation rules]]."
        />
      )}
      <Tabs
        label="Page"
        tabs={[
          {
            id: "write",
            label: "Write",
            content: (
              <TextArea
                label="Text of the page, in Markdown"
                hideLabel
                mono
                rows={18}
                placeholder={"# Vacation rules\n\nEveryone has thirty days a year."}
                value={content}
                onChange={(event) => setContent(event.target.value)}
                error={fieldError(save.error, "content")}
              />
            ),
          },
          {
            id: "preview",
            label: "Preview",
            content: (
              <div className="min-h-60 rounded-xl border border-line bg-surface px-5 py-4">
                {content.trim() ? (
                  <PageText content={content} />
                ) : (
                  <p className="text-ink-3">Nothing is written yet.</p>
                )}
              </div>
            ),
          },
        ]}
      />
      {failure && <Failure title="The page was not saved" error={failure} />}
      {stale && (
        <Conflict
          topic={slugOf(name)}
          base={base}
          busy={save.isPending}
          onOverwrite={(version) => {
            setBase(version);
            saveAfter(version);
          }}
          onTake={(theirs) => {
            setContent(theirs.content);
            setBase(theirs.version);
            save.reset();
          }}
        />
      )}
      {page === undefined && (
        <p className="text-sm text-ink-2">
          {may(me, "memory", "share")
            ? "Once it is saved, everybody here can read and change it. “Share” narrows that."
            : "Only you and administrators can read it."}
        </p>
      )}
      <div className="flex gap-2">
        <Button type="submit" busy={save.isPending} disabled={stale || !name.trim() || !content.trim()}>
          Save
        </Button>
        <Button look="quiet" onClick={onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  );
}

interface ConflictProps {
  topic: string;
  base: number | undefined;
  busy: boolean;
  onOverwrite: (version: number) => void;
  onTake: (theirs: WikiPage) => void;
}

function Conflict({ topic, base, busy, onOverwrite, onTake }: ConflictProps) {
  // Asked anew: what was loaded before is what is stale.
  const theirs = useQuery({ ...pageQuery(topic), staleTime: 0, refetchOnMount: "always" });
  const newest = theirs.data && theirs.data.version > (base ?? 0) ? theirs.data : undefined;
  return (
    <Notice kind="warn" title="Somebody else saved this page while you were writing">
      <p>Your text is still here. Decide which of the two the page shall say.</p>
      {theirs.error && (
        <Failure className="mt-3" error={theirs.error} onRetry={() => void theirs.refetch()} />
      )}
      {newest && (
        <>
          {base !== undefined && (
            <div className="mt-3">
              <DiffView topic={topic} older={base} newer={newest.version} />
            </div>
          )}
          <div className="mt-3 flex flex-wrap gap-2">
            <Button look="quiet" busy={busy} onClick={() => onOverwrite(newest.version)}>
              Save mine as version {newest.version + 1}
            </Button>
            <Button look="quiet" onClick={() => onTake(newest)}>
              Take theirs, drop mine
            </Button>
          </div>
        </>
      )}
    </Notice>
  );
}
