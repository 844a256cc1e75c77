// One page of the wiki: to read, to change, and what it said before.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { ArrowLeft, History, Pencil, Trash2, Users } from "lucide-react";
import { useState } from "react";
import { ApiError } from "../../api/errors";
import { MemberPage } from "../../app/MemberPage";
import { NotAllowed } from "../../app/NotAllowed";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { timeText } from "../../ui/dates";
import { Failure } from "../../ui/Failure";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { DocumentSheet } from "../knowledge/DocumentSheet";
import { HistorySheet } from "./HistorySheet";
import { withoutTitle } from "./links";
import { PageEditor } from "./PageEditor";
import { PageText } from "./PageText";
import { pageQuery, pagesQuery, useDeletePage, type WikiPage } from "./queries";

export default function TopicPage() {
  const { topic = "" } = useParams({ strict: false });
  // Another topic is another page: what was being written stays with its own.
  return may(useMe(), "memory", "read_own") ? (
    <Topic key={topic} topic={topic} />
  ) : (
    <MemberPage title="Wiki">
      <NotAllowed />
    </MemberPage>
  );
}

function Topic({ topic }: { topic: string }) {
  const me = useMe();
  const page = useQuery(pageQuery(topic));
  const [editing, setEditing] = useState(false);
  const mayWrite = may(me, "memory", "write");
  const missing = page.error instanceof ApiError && page.error.status === 404;
  const title = page.data?.title ?? topic;
  if (editing) {
    return (
      <MemberPage title={title}>
        <PageEditor
          topic={topic}
          page={missing ? undefined : page.data}
          onSaved={() => setEditing(false)}
          onCancel={() => setEditing(false)}
        />
      </MemberPage>
    );
  }
  return (
    <MemberPage
      title={title}
      actions={page.data && <Actions page={page.data} onEdit={() => setEditing(true)} />}
    >
      <Link
        to="/wiki"
        className="-mt-4 mb-5 inline-flex items-center gap-1.5 text-sm text-ink-2 hover:text-ink"
      >
        <ArrowLeft aria-hidden className="size-3.5" /> All pages
      </Link>
      {page.isPending && <SkeletonRows rows={5} className="h-8" />}
      {missing && (
        <Empty title="There is no such page yet">
          <p>Nobody has written about this, or it is not shared with you.</p>
          {mayWrite && (
            <Button className="mt-4" onClick={() => setEditing(true)}>
              Write it
            </Button>
          )}
        </Empty>
      )}
      {page.error && !missing && !page.data && (
        <Failure
          title="The page could not be loaded"
          error={page.error}
          onRetry={() => void page.refetch()}
        />
      )}
      {page.data && <Reading page={page.data} />}
    </MemberPage>
  );
}

function Reading({ page }: { page: WikiPage }) {
  // The list is at hand where somebody came from it; until it is here a page is known by its address.
  const titles = new Map(useQuery(pagesQuery).data?.pages.map(({ topic, title }) => [topic, title]));
  return (
    <>
      <article className="rounded-xl border border-line bg-surface px-5 py-4 sm:px-7 sm:py-6">
        <PageText content={withoutTitle(page.content, page.title)} />
      </article>
      <p className="mt-3 text-sm text-ink-3">
        Version {page.version}, {timeText(page.updated_at)}
      </p>
      {page.backlinks && page.backlinks.length > 0 && (
        <section aria-labelledby="backlinks" className="mt-7">
          <h2 id="backlinks" className="mb-2 font-semibold">
            Pages that name this one
          </h2>
          <ul className="flex flex-wrap gap-2">
            {page.backlinks.map((topic) => (
              <li key={topic}>
                <Link
                  to="/wiki/$topic"
                  params={{ topic }}
                  className="inline-block rounded-lg border border-line bg-surface px-3 py-1 text-sm hover:border-line-strong"
                >
                  {titles.get(topic) ?? topic}
                </Link>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Actions({ page, onEdit }: { page: WikiPage; onEdit: () => void }) {
  const me = useMe();
  const navigate = useNavigate();
  const [open, setOpen] = useState<"history" | "rights" | "delete" | null>(null);
  const removal = useDeletePage(page.topic);
  const close = () => setOpen(null);
  return (
    <>
      {may(me, "memory", "write") && (
        <Button onClick={onEdit}>
          <Pencil aria-hidden className="size-4" /> Edit
        </Button>
      )}
      <Button look="quiet" onClick={() => setOpen("history")}>
        <History aria-hidden className="size-4" /> Versions
      </Button>
      <Button look="quiet" onClick={() => setOpen("rights")}>
        <Users aria-hidden className="size-4" /> Share
      </Button>
      {may(me, "memory", "delete") && (
        <Button look="quiet" onClick={() => setOpen("delete")}>
          <Trash2 aria-hidden className="size-4" /> Delete…
        </Button>
      )}
      {open === "history" && <HistorySheet page={page} onClose={close} />}
      {open === "rights" && <DocumentSheet id={page.document_id} firstTab="rights" onClose={close} />}
      {open === "delete" && (
        <Confirm
          title="Delete this page?"
          action="Delete"
          busy={removal.isPending}
          error={removal.error}
          onConfirm={() => removal.mutate(undefined, { onSuccess: () => void navigate({ to: "/wiki" }) })}
          onClose={close}
        >
          “{page.title}” goes with all its versions. This cannot be undone.
        </Confirm>
      )}
    </>
  );
}
