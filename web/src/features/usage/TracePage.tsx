// A turn as a waterfall: what ran when, how long and at what cost. It holds no text of a person or a model.
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { ArrowLeft, ChevronDown } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { CopyButton } from "../../ui/copy";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { SkeletonRows } from "../../ui/Skeleton";
import { AdminPage } from "../admin/AdminFrame";
import { eventWords } from "../receipt/words";
import { type Trace, type TraceSpan, traceQuery, usePeople } from "./queries";
import { barOf, detailOf, durationText, factsOf } from "./waterfall";

const ReceiptPanel = lazy(() => import("../receipt/ReceiptPanel"));
const route = getRouteApi("/app/admin/usage/turns/$turnId");

const colours: Record<TraceSpan["kind"], string> = {
  turn: "bg-line-strong",
  model: "bg-accent",
  guardrail: "bg-seal",
  recall: "bg-(--code-function)",
  tool: "bg-(--code-number)",
  budget: "bg-(--code-keyword)",
  event: "bg-ink-3",
};

export default function TracePage() {
  const { turnId } = route.useParams();
  const trace = useQuery(traceQuery(turnId));
  const [receipt, setReceipt] = useState(false);
  return (
    <AdminPage
      title="Turn"
      about={
        <span className="flex items-center gap-1">
          <span className="min-w-0 truncate font-mono text-[0.8125rem]">{turnId}</span>
          <CopyButton text={turnId} label="Copy turn id" />
        </span>
      }
      permission="view_audit_log"
      actions={
        <>
          <Link
            to="/admin/usage"
            search={{ tab: "traces" }}
            className="inline-flex h-10 items-center gap-2 rounded-lg border border-line-strong/60 bg-surface px-4 font-medium hover:bg-sunken"
          >
            <ArrowLeft aria-hidden className="size-4" /> All turns
          </Link>
          <Button look="quiet" onClick={() => setReceipt(true)}>
            Receipt
          </Button>
        </>
      }
    >
      {trace.isPending && <SkeletonRows rows={7} className="h-9" />}
      {trace.isError && !trace.data && (
        <Failure
          title="The turn could not be loaded"
          error={trace.error}
          onRetry={() => void trace.refetch()}
        />
      )}
      {trace.data && <Waterfall trace={trace.data} />}
      {receipt && (
        <Suspense>
          <ReceiptPanel turnId={turnId} onClose={() => setReceipt(false)} />
        </Suspense>
      )}
    </AdminPage>
  );
}

function Waterfall({ trace }: { trace: Trace }) {
  const { nameOf } = usePeople();
  const [turn, ...spans] = trace.spans;
  return (
    <>
      <p className="mb-3 flex flex-wrap items-center gap-x-3 gap-y-1 text-sm text-ink-2">
        <span>
          {new Date(trace.started_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}
        </span>
        {trace.user && <span>{nameOf(trace.user)}</span>}
        <span className="tabular-nums">{durationText(trace.duration_us)}</span>
        {!trace.is_over && (
          <Badge tone="warn" dot>
            Still running
          </Badge>
        )}
        {turn?.status === "error" && (
          <Badge tone="danger" dot>
            {String(turn.attributes.outcome ?? "failed")}
          </Badge>
        )}
      </p>
      <ol
        aria-label="What happened, in order"
        data-testid="waterfall"
        className="divide-y divide-line rounded-2xl border border-line bg-surface"
      >
        {spans.map((span) => (
          <SpanRow key={span.id} span={span} trace={trace} />
        ))}
      </ol>
    </>
  );
}

function SpanRow({ span, trace }: { span: TraceSpan; trace: Trace }) {
  const bar = barOf(span, trace);
  const detail = detailOf(span);
  const facts = factsOf(span);
  return (
    <li>
      <details className="group/span">
        <summary className="grid list-none grid-cols-[1fr_auto_1rem] items-center gap-x-3 gap-y-1 px-4 py-2 -outline-offset-2 sm:grid-cols-[17rem_1fr_4.5rem_1rem] [&::-webkit-details-marker]:hidden">
          <span className="min-w-0">
            <span className={cx("block truncate text-sm", span.status === "error" && "text-danger")}>
              {eventWords(span.name)}
              {span.status === "error" && ", failed"}
            </span>
            {detail && <span className="block truncate text-xs text-ink-3">{detail}</span>}
          </span>
          <span
            aria-hidden
            className="relative col-span-3 row-start-2 h-2.5 overflow-hidden rounded-full bg-sunken sm:col-span-1 sm:row-start-auto"
          >
            <span
              className={cx(
                "absolute inset-y-0 rounded-full",
                span.status === "error" ? "bg-danger" : colours[span.kind],
              )}
              style={{ left: `${bar.left}%`, width: `${bar.width}%` }}
            />
          </span>
          <span className="text-right text-xs text-ink-2 tabular-nums">
            {bar.isMoment ? `at ${durationText(span.start_us)}` : durationText(span.end_us - span.start_us)}
          </span>
          <ChevronDown
            aria-hidden
            className="size-4 text-ink-3 transition-transform group-open/span:rotate-180"
          />
        </summary>
        <ul className="flex flex-wrap gap-x-5 gap-y-1 px-4 pb-3 font-mono text-xs text-ink-2">
          <li>begins at {durationText(span.start_us)}</li>
          {facts.map((fact) => (
            <li key={fact} className="break-all">
              {fact}
            </li>
          ))}
        </ul>
      </details>
    </li>
  );
}
