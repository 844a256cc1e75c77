// The receipt of a turn: the verdict of the verifier in this browser, the slip, the steps, the events and the keys.
import { useQuery } from "@tanstack/react-query";
import { Check, ChevronDown, Download, LoaderCircle, X } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Command, CopyButton } from "../../ui/copy";
import { cx } from "../../ui/cx";
import { Modal } from "../../ui/Modal";
import { Notice } from "../../ui/Notice";
import type { Bundle, ShownEvent } from "./bundle";
import type { Checked } from "./check";
import { ChangedKeys, KeysSection } from "./KeysSection";
import { checkQuery } from "./queries";
import { Section } from "./Section";
import { bytesText, eventWords, outcomeWords, sinceText, stepWords } from "./words";

export default function ReceiptPanel({ turnId, onClose }: { turnId: string; onClose: () => void }) {
  const check = useQuery(checkQuery(turnId));
  return (
    <Modal
      open
      onClose={onClose}
      title="Receipt"
      description="Checked here, in your browser, byte by byte."
      shape="sheet"
    >
      {check.isPending && (
        <p role="status" className="flex items-center gap-2 py-8 text-ink-2">
          <LoaderCircle aria-hidden className="size-4 animate-spin" />
          {check.failureReason instanceof ApiError ? "The turn is being sealed…" : "Verifying…"}
        </p>
      )}
      {check.error && <LoadFailure error={check.error} onRetry={() => void check.refetch()} />}
      {check.data && <Receipt turnId={turnId} checked={check.data} />}
    </Modal>
  );
}

function LoadFailure({ error, onRetry }: { error: Error; onRetry: () => void }) {
  const open = error instanceof ApiError && error.code === "not_sealed";
  return (
    <Notice
      kind={open ? "warn" : "danger"}
      title={open ? "Not sealed yet" : "The receipt could not be loaded"}
    >
      <p>
        {open ? "The turn is recorded but its seal is still to come. Try again in a moment." : error.message}
      </p>
      {error instanceof ApiError && <p className="mt-0.5 font-mono text-xs">{error.code}</p>}
      <Button look="quiet" className="mt-2.5 h-9" onClick={onRetry}>
        Try again
      </Button>
    </Notice>
  );
}

function Receipt({ turnId, checked }: { turnId: string; checked: Checked }) {
  const { verdict, bundle, bytes, trust } = checked;
  return (
    <div className="space-y-6">
      {bundle && trust.state === "changed" && <ChangedKeys turnId={turnId} bundle={bundle} trust={trust} />}
      <Slip turnId={turnId} checked={checked} />
      <p className="text-sm text-ink-2">
        A receipt proves that these bytes were recorded, in this order, no later than the signed head. It does
        not prove that the model was right.
      </p>
      <Section title="What was checked">
        <ol className="divide-y divide-line rounded-xl border border-line bg-surface">
          {verdict.steps.map((step) => (
            <StepRow key={step.name} {...step} />
          ))}
        </ol>
      </Section>
      {bundle && <KeysSection checked={checked} bundle={bundle} />}
      {bundle && <Timeline events={bundle.events} />}
      <Section title="Keep it">
        <p className="mb-3 text-sm text-ink-2">
          The file is all that is needed to check this turn again, anywhere and without this server.
        </p>
        <SaveButton turnId={turnId} bytes={bytes} />
        <Command className="mt-3">aibox verify receipt.json</Command>
      </Section>
    </div>
  );
}

function Slip({ turnId, checked }: { turnId: string; checked: Checked }) {
  const { verdict, bundle } = checked;
  return (
    <div className="drop-shadow-sm">
      <div className="slip rounded-t-lg px-5 pt-5 font-mono text-[0.8125rem]">
        <div className="flex items-center justify-between gap-4">
          <p className="font-sans text-xs text-ink-3">
            AIBox turn
            <br />
            {bundle?.sealedAt ? time(bundle.sealedAt) : "time unknown"}
          </p>
          <p
            role="status"
            data-testid="receipt-verdict"
            className={cx(
              "stamp shrink-0 px-3 py-1 whitespace-nowrap font-sans text-[0.9375rem]",
              verdict.ok ? "text-accent" : "text-danger",
            )}
          >
            {verdict.ok ? "Verified" : "Not verified"}
          </p>
        </div>
        {!verdict.ok && (
          <div className="mt-4 space-y-1.5 font-sans text-danger">
            <p className="font-semibold">{verdict.summary}</p>
            <p>
              {window.isSecureContext
                ? "Do not rely on this receipt, and tell whoever runs this AIBox."
                : "That says nothing against the receipt: download it, and check it with the command below."}
            </p>
          </div>
        )}
        <dl className="mt-4 space-y-1.5 border-t border-dashed border-line-strong pt-4">
          {bundle && (
            <>
              <Row label="outcome">{outcomeWords(bundle.outcome)}</Row>
              <Row label="events">{bundle.events.length}</Row>
              <Row label="entry in log">{bundle.index ?? "?"}</Row>
            </>
          )}
          <LongRow label="turn" value={bundle?.turn || turnId} />
          {bundle && <LongRow label="log" value={bundle.log} />}
        </dl>
      </div>
    </div>
  );
}

function Row({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="flex items-baseline">
      <dt className="text-ink-3">{label}</dt>
      <span aria-hidden className="leader" />
      <dd className="tabular-nums">{children}</dd>
    </div>
  );
}

function LongRow({ label, value }: { label: string; value: string }) {
  return (
    <div className="pt-1">
      <dt className="text-ink-3">{label}</dt>
      <dd className="flex items-start gap-1">
        <span className="min-w-0 flex-1 break-all">{value}</span>
        <CopyButton text={value} label={`Copy ${label}`} className="-my-1 size-7" />
      </dd>
    </div>
  );
}

function StepRow({ name, ok, detail }: { name: string; ok: boolean; detail: string }) {
  const { title, why } = stepWords(name);
  return (
    <li>
      <details className="group/step" open={!ok}>
        <summary className="flex list-none items-center gap-3 px-3.5 py-2.5 [&::-webkit-details-marker]:hidden">
          <span
            className={cx(
              "inline-flex size-5 shrink-0 items-center justify-center rounded-full",
              ok ? "bg-accent-soft text-accent" : "bg-danger text-surface",
            )}
          >
            {ok ? <Check aria-hidden className="size-3.5" /> : <X aria-hidden className="size-3.5" />}
            <span className="sr-only">{ok ? "Passed:" : "Failed:"}</span>
          </span>
          <span className="min-w-0 flex-1 text-sm">{title}</span>
          <ChevronDown
            aria-hidden
            className="size-4 text-ink-3 transition-transform group-open/step:rotate-180"
          />
        </summary>
        <div className="px-3.5 pb-3 pl-11.5 text-sm text-ink-2">
          <p>{why}</p>
          {detail && <p className="mt-1.5 font-mono text-xs break-words text-ink-3">{detail}</p>}
        </div>
      </details>
    </li>
  );
}

function Timeline({ events }: { events: Bundle["events"] }) {
  const first = events.find((event) => event.type !== null)?.at ?? 0;
  return (
    <Section title="What was recorded">
      <ol className="ml-2 border-l border-line">
        {events.map((event) => (
          <TimelineEvent key={event.seq} event={event} first={first} />
        ))}
      </ol>
    </Section>
  );
}

function TimelineEvent({ event, first }: { event: ShownEvent; first: number }) {
  const dot = <span aria-hidden className="absolute top-2 -left-[4.5px] size-2 rounded-full bg-accent" />;
  if (event.type === null) {
    return (
      <li className="relative py-1.5 pl-5 text-sm text-ink-3">
        {dot}
        An event that this receipt does not disclose
        <span className="block truncate font-mono text-xs">{event.leaf}</span>
      </li>
    );
  }
  const facts = [
    event.source,
    ...event.about,
    ...event.artifacts.map((art) => `${art.mediaType.replace(/;.*/, "")}, ${bytesText(art.bytes)}`),
  ];
  return (
    <li className="relative py-1.5 pl-5 text-sm">
      {dot}
      <details>
        <summary className="flex list-none items-baseline gap-2 [&::-webkit-details-marker]:hidden">
          <span className="min-w-0 flex-1">
            {eventWords(event.type)}
            <span className="block text-xs text-ink-3">{facts.filter(Boolean).join(" · ")}</span>
          </span>
          <span className="shrink-0 font-mono text-xs text-ink-3 tabular-nums">
            {sinceText(event.at - first)}
          </span>
        </summary>
        <pre
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a long record is scrolled with the arrow keys.
          tabIndex={0}
          className="mt-1.5 max-h-56 overflow-auto rounded-lg border border-line bg-(--code-bg) p-2.5 font-mono text-xs break-words whitespace-pre-wrap"
        >
          {[event.type, event.body, ...event.artifacts.map((art) => `commitment ${art.commitment}`)]
            .filter(Boolean)
            .join("\n")}
        </pre>
      </details>
    </li>
  );
}

/** Saves the very bytes that were verified. */
function SaveButton({ turnId, bytes }: { turnId: string; bytes: Uint8Array<ArrayBuffer> }) {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([bytes], { type: "application/json" }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [bytes]);
  return (
    <a
      href={url}
      download="receipt.json"
      aria-label={`Download receipt.json of turn ${turnId}`}
      className="inline-flex h-10 items-center gap-2 rounded-lg bg-accent px-4 font-medium text-accent-ink hover:bg-accent-hover"
    >
      <Download aria-hidden className="size-4" /> Download receipt.json
      <span className="text-sm font-normal opacity-80">{bytesText(bytes.length)}</span>
    </a>
  );
}

function time(us: number): string {
  return new Date(us / 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}
