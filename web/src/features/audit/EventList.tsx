// Events as a list; each opens in a drawer with all that the log holds of it.
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { Button } from "../../ui/Button";
import { CopyButton } from "../../ui/copy";
import { Modal } from "../../ui/Modal";
import { eventWords } from "../receipt/words";
import { usePeople } from "../usage/queries";
import { glance } from "./filters";
import type { FoundEvent } from "./queries";

const ReceiptPanel = lazy(() => import("../receipt/ReceiptPanel"));

export function EventList({ events }: { events: FoundEvent[] }) {
  const { nameOf } = usePeople();
  const [opened, setOpened] = useState<FoundEvent | null>(null);
  return (
    <>
      <ul className="divide-y divide-line rounded-2xl border border-line bg-surface">
        {events.map((event) => (
          <li key={event.event_id}>
            <button
              type="button"
              data-testid="activity-event"
              onClick={() => setOpened(event)}
              className="grid w-full gap-x-4 px-4 py-2 text-left -outline-offset-2 hover:bg-sunken/60 sm:grid-cols-[1fr_11rem_auto]"
            >
              <span className="min-w-0">
                <span className="block truncate text-sm font-medium">{eventWords(event.type)}</span>
                <span className="block truncate text-xs text-ink-3 empty:hidden">{glance(event.body)}</span>
              </span>
              <span className="truncate text-sm text-ink-2 max-sm:text-xs">
                {nameOf(event.principal)}
                <span className="text-ink-3 tabular-nums sm:hidden"> · {timeText(event.at)}</span>
              </span>
              <span className="hidden text-right text-xs text-ink-3 tabular-nums sm:block">
                {timeText(event.at)}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {opened && (
        <EventDrawer event={opened} who={nameOf(opened.principal)} onClose={() => setOpened(null)} />
      )}
    </>
  );
}

function EventDrawer({ event, who, onClose }: { event: FoundEvent; who: string; onClose: () => void }) {
  const [receipt, setReceipt] = useState(false);
  const rows = [
    { label: "Type", value: event.type },
    { label: "When", value: timeText(event.at) },
    { label: "Who", value: who },
    { label: "Noted by", value: event.source },
    { label: "Place in its turn", value: String(event.seq) },
  ];
  if (receipt) {
    return (
      <Suspense>
        <ReceiptPanel turnId={event.turn_id} onClose={onClose} />
      </Suspense>
    );
  }
  return (
    <Modal open onClose={onClose} title={eventWords(event.type)} shape="sheet">
      <dl className="space-y-2 text-sm">
        {rows.map(({ label, value }) => (
          <div key={label} className="flex gap-3">
            <dt className="w-32 shrink-0 text-ink-3">{label}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ))}
        <div className="flex gap-3">
          <dt className="w-32 shrink-0 text-ink-3">Turn</dt>
          <dd className="flex min-w-0 items-start gap-1">
            <span className="font-mono text-xs leading-5 break-all">{event.turn_id}</span>
            <CopyButton text={event.turn_id} label="Copy turn id" className="-my-1 size-7" />
          </dd>
        </div>
      </dl>
      <h3 className="mt-5 mb-2 font-semibold tracking-tight">What the log holds</h3>
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long record is scrolled with the arrow keys.
        tabIndex={0}
        className="max-h-96 overflow-auto rounded-lg border border-line bg-(--code-bg) p-3 font-mono text-xs break-words whitespace-pre-wrap"
      >
        {JSON.stringify(event.body, null, 2)}
      </pre>
      <div className="mt-5 flex flex-wrap gap-2">
        <Button look="quiet" onClick={() => setReceipt(true)}>
          Receipt of the turn
        </Button>
        <Link
          to="/admin/usage/turns/$turnId"
          params={{ turnId: event.turn_id }}
          className="inline-flex h-10 items-center rounded-lg border border-line-strong/60 bg-surface px-4 font-medium hover:bg-sunken"
        >
          The turn as it ran
        </Link>
      </div>
    </Modal>
  );
}

function timeText(at: string): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}
