// The frame of the administration: its pages by name on the left, in a list on top of a phone.
import { Link, Navigate, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { ArrowLeft } from "lucide-react";
import type { ReactNode } from "react";
import { useTitle } from "../../app/MemberPage";
import { cx } from "../../ui/cx";
import { Wordmark } from "../../ui/Logo";
import { Notice } from "../../ui/Notice";
import { Select } from "../../ui/Select";
import { useMe } from "../auth/session";
import { AccountMenu } from "../sessions/AccountMenu";
import { type AdminEntry, type AdminPermission, entriesFor, isOn, mayAdmin } from "./entries";

export function AdminFrame() {
  const entries = entriesFor(useMe());
  const { pathname } = useLocation();
  return (
    <div className="flex h-full flex-col md:flex-row">
      <nav aria-label="Administration" className="hidden w-60 shrink-0 flex-col border-r border-line md:flex">
        <div className="flex h-14 shrink-0 items-center pl-4">
          <Link to="/" aria-label="AIBox, to the chat" className="rounded-md text-[1.05rem]">
            <Wordmark />
          </Link>
        </div>
        <Link
          to="/"
          className="mx-3 flex h-10 items-center gap-2.5 rounded-lg border border-line bg-surface px-3 font-medium hover:border-line-strong"
        >
          <ArrowLeft aria-hidden className="size-4 text-accent" />
          Back to the chat
        </Link>
        <h2 className="px-6 pt-5 pb-1 text-xs font-medium text-ink-3">Administration</h2>
        <ul className="min-h-0 flex-1 overflow-y-auto px-3">
          {entries.map((entry) => (
            <li key={entry.to}>
              <Link
                to={entry.to}
                // A page that belongs to an entry and stands elsewhere is its own for whoever hears the list, too.
                aria-current={isOn(entry, pathname) ? "page" : undefined}
                className={cx(
                  "flex h-9 items-center gap-2.5 rounded-lg px-3 hover:bg-sunken [&.active]:bg-accent-soft [&.active]:font-medium",
                  isOn(entry, pathname) && "active",
                )}
              >
                <entry.icon aria-hidden className="size-4 text-ink-3 [.active>&]:text-accent" />
                {entry.label}
              </Link>
            </li>
          ))}
        </ul>
        <AccountMenu />
      </nav>
      <PhoneBar entries={entries} />
      <main id="main" className="min-h-0 min-w-0 flex-1 overflow-y-auto">
        {entries.length > 0 ? <Outlet /> : <NotYours />}
      </main>
    </div>
  );
}

function PhoneBar({ entries }: { entries: AdminEntry[] }) {
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const current = entries.find((entry) => isOn(entry, pathname));
  return (
    <div className="flex h-14 shrink-0 items-center gap-2 border-b border-line px-3 md:hidden">
      <Link
        to="/"
        aria-label="Back to the chat"
        className="inline-flex size-10 items-center justify-center rounded-md text-ink-2 hover:bg-sunken"
      >
        <ArrowLeft aria-hidden className="size-5" />
      </Link>
      <Select
        label="Page of the administration"
        hideLabel
        className="min-w-0 flex-1"
        value={current?.to ?? ""}
        onChange={(event) => void navigate({ to: event.target.value })}
      >
        {!current && <option value="">Administration</option>}
        {entries.map((entry) => (
          <option key={entry.to} value={entry.to}>
            {entry.label}
          </option>
        ))}
      </Select>
    </div>
  );
}

/** `/admin` itself leads to the first page that this person may open. */
export function AdminHome() {
  const first = entriesFor(useMe())[0];
  return first ? <Navigate to={first.to} replace /> : <NotYours />;
}

interface AdminPageProps {
  title: string;
  about?: ReactNode;
  actions?: ReactNode;
  permission: AdminPermission;
  children: ReactNode;
}

/** A page's heading and body. Who lacks the permission is told so instead of a row of refusals. */
export function AdminPage({ title, about, actions, permission, children }: AdminPageProps) {
  const me = useMe();
  useTitle(title);
  if (!mayAdmin(me, permission)) return <NotYours />;
  return (
    <div className="mx-auto max-w-5xl px-4 pt-5 pb-16 sm:px-8 sm:pt-8">
      <header className="mb-7 flex flex-wrap items-start gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-72">
          <h1 className="text-2xl font-semibold tracking-tight">{title}</h1>
          {about && <p className="mt-1 max-w-prose text-ink-2">{about}</p>}
        </div>
        {actions && <div className="flex flex-wrap gap-2">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

function NotYours() {
  return (
    <div className="mx-auto max-w-2xl px-4 pt-10">
      <Notice kind="info" title="This page is not yours to see">
        <p>It takes a permission that your roles do not give. Ask whoever administers this AIBox.</p>
      </Notice>
    </div>
  );
}
