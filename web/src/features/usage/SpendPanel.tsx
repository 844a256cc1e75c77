// Spend over a span of days by any dimension: the sums, the days as bars, and the table that says the same.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { useState } from "react";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { countText, dollarsText } from "../../ui/money";
import { Notice } from "../../ui/Notice";
import { Empty } from "../../ui/Panel";
import { Select } from "../../ui/Select";
import { Skeleton, SkeletonRows } from "../../ui/Skeleton";
import { Bars } from "./Bars";
import { Figures } from "./Figures";
import { daysOf, type Period, periods, type Span, spanOf } from "./periods";
import { csvAddress, type Dimension, type UsageReport, usageQuery, usePeople } from "./queries";
import { SpendTable } from "./SpendTable";
import { type MeasureName, measures, stacked, totals } from "./spend";

const dimensions: Record<Dimension, string> = {
  model: "Model",
  user: "Person",
  key: "API key",
  agent: "Agent",
};

export function SpendPanel() {
  const [period, setPeriod] = useState<Period | "custom">("30");
  const [custom, setCustom] = useState<Span>(() => spanOf("30", new Date()));
  const [by, setBy] = useState<Dimension>("model");
  const [measure, setMeasure] = useState<MeasureName>("cost");
  const span = period === "custom" ? custom : spanOf(period, new Date());
  const report = useQuery({ ...usageQuery(by, span), placeholderData: keepPreviousData });
  return (
    <>
      <div className="flex flex-wrap items-end gap-3">
        <Select
          label="Period"
          hideLabel
          className="flex-auto sm:flex-none"
          value={period}
          onChange={(event) => setPeriod(event.target.value as Period | "custom")}
        >
          {Object.entries(periods).map(([id, words]) => (
            <option key={id} value={id}>
              {words}
            </option>
          ))}
          <option value="custom">From … to …</option>
        </Select>
        <Select
          label="Spend by"
          hideLabel
          className="flex-auto sm:flex-none"
          value={by}
          onChange={(event) => setBy(event.target.value as Dimension)}
        >
          {Object.entries(dimensions).map(([id, words]) => (
            <option key={id} value={id}>
              By {words === "API key" ? words : words.toLowerCase()}
            </option>
          ))}
        </Select>
        <Select
          label="Measure"
          hideLabel
          className="flex-auto sm:flex-none"
          value={measure}
          onChange={(event) => setMeasure(event.target.value as MeasureName)}
        >
          {Object.entries(measures).map(([id, { label }]) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </Select>
        <a
          href={csvAddress(by, span)}
          download
          className="ml-auto inline-flex h-9 items-center gap-2 rounded-lg border border-line-strong/60 bg-surface px-3 text-sm font-medium hover:bg-sunken"
        >
          <Download aria-hidden className="size-4" /> Download CSV
        </a>
      </div>
      {period === "custom" && (
        <div className="mt-4 grid max-w-md grid-cols-2 gap-3">
          <Field
            label="First day"
            type="date"
            required
            max={custom.to}
            value={custom.from}
            onChange={(event) => event.target.value && setCustom({ ...custom, from: event.target.value })}
          />
          <Field
            label="Last day"
            type="date"
            required
            min={custom.from}
            value={custom.to}
            onChange={(event) => event.target.value && setCustom({ ...custom, to: event.target.value })}
          />
        </div>
      )}
      <div className="mt-5" aria-busy={report.isFetching}>
        {report.isPending && (
          <>
            <Skeleton className="mb-4 h-20" />
            <Skeleton className="mb-4 h-60" />
            <SkeletonRows rows={3} className="h-9" />
          </>
        )}
        {report.isError && !report.data && (
          <Failure
            title="The usage could not be loaded"
            error={report.error}
            onRetry={() => void report.refetch()}
          />
        )}
        {report.data && <Spend report={report.data} span={span} by={by} measure={measure} />}
      </div>
    </>
  );
}

interface SpendProps {
  report: UsageReport;
  span: Span;
  by: Dimension;
  measure: MeasureName;
}

function Spend({ report, span, by, measure }: SpendProps) {
  const { nameOf } = usePeople();
  const { total, rows } = report;
  const label = (key: string | null) => {
    if (key === null) return "All others";
    if (key === "") return by === "key" ? "The web app" : by === "agent" ? "No agent" : "Nobody";
    return by === "user" ? nameOf(key) : key;
  };
  return (
    <>
      <Figures
        figures={[
          { label: "Spent", value: dollarsText(total.cost_usd), title: `$${total.cost_usd}` },
          { label: "Requests", value: countText(total.requests) },
          { label: "Tokens in", value: countText(total.input_tokens) },
          { label: "Tokens out", value: countText(total.output_tokens) },
        ]}
      />
      {total.unpriced_requests > 0 && (
        <Notice kind="warn" className="mt-4">
          {total.unpriced_requests === 1
            ? "1 request has no known price and is not in what was spent."
            : `${countText(total.unpriced_requests)} requests have no known price and are not in what was spent.`}{" "}
          A price can be set on the model, under Inference.
        </Notice>
      )}
      {!report.is_complete && (
        <Notice kind="info" className="mt-4">
          There is more than fits in one answer: the dearest rows are here, and the CSV has all of them.
        </Notice>
      )}
      {rows.length === 0 ? (
        <div className="mt-4">
          <Empty title="Nothing was used in this time">
            What people ask in the chat and programs ask with an API key is counted here.
          </Empty>
        </div>
      ) : (
        <>
          <Bars
            stacked={stacked(rows, by, measures[measure], daysOf(span))}
            measure={measure}
            label={label}
          />
          <SpendTable heading={dimensions[by]} lines={totals(rows, by)} label={label} />
        </>
      )}
    </>
  );
}
