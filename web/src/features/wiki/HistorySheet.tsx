// The versions of a page, and what each one changed.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { cx } from "../../ui/cx";
import { timeText } from "../../ui/dates";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { SkeletonRows } from "../../ui/Skeleton";
import { useMe } from "../auth/session";
import { bytesText } from "../receipt/words";
import { DiffView } from "./DiffView";
import { versionsQuery, type WikiPage } from "./queries";

export function HistorySheet({ page, onClose }: { page: WikiPage; onClose: () => void }) {
  const me = useMe();
  const [chosen, setChosen] = useState(page.version);
  const list = useQuery(versionsQuery(page.topic));
  return (
    <Modal
      open
      onClose={onClose}
      shape="sheet"
      className="max-w-2xl"
      title="Versions"
      description="Choose one to see what it changed."
    >
      {list.isPending && <SkeletonRows rows={3} className="h-10" />}
      {list.error && <Failure error={list.error} onRetry={() => void list.refetch()} />}
      {list.data && (
        <ul className="mb-5 max-h-56 divide-y divide-line overflow-y-auto rounded-xl border border-line bg-surface">
          {list.data.versions.map(({ version, at, size, author_user_id: author }) => (
            <li key={version}>
              <button
                type="button"
                aria-pressed={version === chosen}
                onClick={() => setChosen(version)}
                className={cx(
                  "flex w-full flex-wrap items-baseline gap-x-3 px-4 py-2.5 text-left -outline-offset-2 hover:bg-sunken",
                  version === chosen && "bg-accent-soft",
                )}
              >
                <span className="font-medium">Version {version}</span>
                <span className="grow text-sm text-ink-2">{timeText(at)}</span>
                <span className="text-sm text-ink-3">
                  {author === me.user.id ? "you, " : ""}
                  {bytesText(size)}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {chosen > 1 ? (
        <DiffView topic={page.topic} older={chosen - 1} newer={chosen} />
      ) : (
        <p className="text-sm text-ink-2">With version 1 the page began.</p>
      )}
    </Modal>
  );
}
