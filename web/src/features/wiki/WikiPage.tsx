// The wiki: its pages by topic, and a new one.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useState } from "react";
import { MemberPage } from "../../app/MemberPage";
import { NotAllowed } from "../../app/NotAllowed";
import { Button } from "../../ui/Button";
import { dayText } from "../../ui/dates";
import { Failure } from "../../ui/Failure";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { PageEditor } from "./PageEditor";
import { pagesQuery } from "./queries";

export default function WikiPage() {
  const me = useMe();
  const navigate = useNavigate();
  const [writing, setWriting] = useState(false);
  const mayRead = may(me, "memory", "read_own");
  const mayWrite = may(me, "memory", "write");
  return (
    <MemberPage
      title={writing ? "New page" : "Wiki"}
      about={writing ? undefined : "Pages that you write and keep. Chats find what is in them."}
      actions={
        mayRead &&
        mayWrite &&
        !writing && (
          <Button onClick={() => setWriting(true)}>
            <Plus aria-hidden className="size-4" /> New page
          </Button>
        )
      }
    >
      {!mayRead ? (
        <NotAllowed />
      ) : writing ? (
        <PageEditor
          onSaved={({ topic }) => void navigate({ to: "/wiki/$topic", params: { topic } })}
          onCancel={() => setWriting(false)}
        />
      ) : (
        <Topics />
      )}
    </MemberPage>
  );
}

function Topics() {
  const list = useQuery(pagesQuery);
  if (list.error && !list.data) {
    return (
      <Failure title="The pages could not be loaded" error={list.error} onRetry={() => void list.refetch()} />
    );
  }
  if (!list.data) return <SkeletonRows rows={4} className="h-14" />;
  if (list.data.pages.length === 0) {
    return (
      <Empty title="There are no pages yet">
        Write what is asked again and again, and chats answer from it and name it as their source.
      </Empty>
    );
  }
  return (
    <ul aria-label="Pages" className="divide-y divide-line rounded-xl border border-line bg-surface">
      {list.data.pages.map((page) => (
        <li key={page.topic}>
          <Link
            to="/wiki/$topic"
            params={{ topic: page.topic }}
            className="flex items-baseline gap-3 px-4 py-3 hover:bg-sunken/40"
          >
            <span className="min-w-0 flex-1 truncate font-medium">{page.title}</span>
            <span className="shrink-0 text-sm text-ink-3">
              version {page.version} · {dayText(page.updated_at)}
            </span>
          </Link>
        </li>
      ))}
    </ul>
  );
}
