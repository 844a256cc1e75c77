// What a vLLM server says of itself: its queue, its cache, its pace.
import { useQuery } from "@tanstack/react-query";
import { Failure } from "../../ui/Failure";
import { Skeleton } from "../../ui/Skeleton";
import { metricsQuery, type Provider } from "./queries";

export function EnginePanel({ provider }: { provider: Provider }) {
  const metrics = useQuery(metricsQuery(provider.id));
  if (metrics.isPending) return <Skeleton className="h-17 rounded-xl" />;
  if (!metrics.data) return <Failure title="Its metrics do not come" error={metrics.error} />;
  const said = metrics.data;
  return (
    <dl
      aria-label={`Engine of ${provider.name}`}
      className="grid grid-cols-2 gap-px overflow-hidden rounded-xl border border-line bg-line sm:grid-cols-5"
    >
      <Figure label="Running" value={said.running} />
      <Figure label="Waiting" value={said.waiting} />
      <Figure
        label="Cache in use"
        value={said.kv_cache_used === null ? null : Math.round(said.kv_cache_used * 100)}
        unit="%"
      />
      <Figure label="Reads" value={said.prompt_tokens_per_second} unit="tokens/s" />
      <Figure label="Writes" value={said.generated_tokens_per_second} unit="tokens/s" last />
    </dl>
  );
}

interface FigureProps {
  label: string;
  value: number | null | undefined;
  unit?: string;
  /** Fills the row that five figures leave half empty in two columns. */
  last?: boolean;
}

function Figure({ label, value, unit, last = false }: FigureProps) {
  return (
    <div className={last ? "col-span-2 bg-surface px-3.5 py-2 sm:col-span-1" : "bg-surface px-3.5 py-2"}>
      <dt className="text-xs text-ink-3">{label}</dt>
      <dd className="tabular-nums">
        {value === null || value === undefined ? (
          <span className="text-ink-3">not said</span>
        ) : (
          <>
            <span className="text-lg font-semibold">{Math.round(value).toLocaleString("en-US")}</span>{" "}
            {unit && <span className="text-xs text-ink-3">{unit}</span>}
          </>
        )}
      </dd>
    </div>
  );
}
