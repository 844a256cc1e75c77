// Rows of the account's lists, and their three states before there is anything to show.
import type { UseQueryResult } from "@tanstack/react-query";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { Failure } from "../../ui/Failure";
import { SkeletonRows } from "../../ui/Skeleton";

interface RowsProps<T> {
  query: UseQueryResult<T[]>;
  /** What could not be loaded, as a sentence. */
  failed: string;
  empty: ReactNode;
  row: (one: T) => ReactNode;
}

export function Rows<T>({ query, failed, empty, row }: RowsProps<T>) {
  if (query.data === undefined) {
    return query.isError ? (
      <Failure title={failed} error={query.error} onRetry={() => void query.refetch()} />
    ) : (
      <SkeletonRows rows={2} className="h-16" />
    );
  }
  if (query.data.length === 0) return empty;
  return <List>{query.data.map(row)}</List>;
}

export function List({ children }: { children: ReactNode }) {
  return <ul className="divide-y divide-line rounded-2xl border border-line bg-surface">{children}</ul>;
}

interface RowProps {
  icon: LucideIcon;
  title: ReactNode;
  badge?: ReactNode;
  about?: ReactNode;
  action?: ReactNode;
  testId?: string;
}

export function Row({ icon: Icon, title, badge, about, action, testId }: RowProps) {
  return (
    <li data-testid={testId} className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-5">
      <Icon aria-hidden className="size-5 shrink-0 text-ink-3" />
      <div className="min-w-0 flex-1 basis-40">
        <div className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
          <span className="font-medium break-words">{title}</span>
          {badge}
        </div>
        {about && <div className="text-sm text-ink-2">{about}</div>}
      </div>
      {action && <div className="ml-auto">{action}</div>}
    </li>
  );
}
