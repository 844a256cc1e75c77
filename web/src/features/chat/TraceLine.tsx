// What AIBox did around the model: one line, which opens to the list of steps.
import { Check, ChevronRight, LoaderCircle, TriangleAlert } from "lucide-react";
import { cx } from "../../ui/cx";
import type { Step } from "./run";
import { stepName } from "./words";

const marks = {
  running: <LoaderCircle aria-hidden className="size-3.5 animate-spin text-accent" />,
  done: <Check aria-hidden className="size-3.5 text-accent" />,
  failed: <TriangleAlert aria-hidden className="size-3.5 text-warn" />,
};

interface TraceLineProps {
  steps: Step[];
  writing: boolean;
  /** What goes on within the step that is told of, such as the use of a tool. */
  busyWith: string | null;
}

export function TraceLine({ steps, writing, busyWith }: TraceLineProps) {
  const current = writing ? steps.findLast((step) => step.state === "running") : undefined;
  const failed = steps.find((step) => step.state === "failed");
  // That the model was asked goes without saying.
  const told = steps.filter((step) => step.label && step.step !== "ask" && step.state !== "running");
  const findings = told.map((step) => step.label).join(" · ");
  const summary = current
    ? `${busyWith ?? (current.label || stepName(current.step))}…`
    : findings || (failed ? stepName(failed.step) : "");
  if (!summary) return null;
  return (
    <details className="group/trace mb-2 text-[0.8125rem] text-ink-3">
      <summary className="inline-flex max-w-full list-none items-center gap-1.5 rounded-md py-0.5 pr-1 hover:text-ink [&::-webkit-details-marker]:hidden">
        {current ? marks.running : failed ? marks.failed : marks.done}
        <span className="truncate">{summary}</span>
        <ChevronRight aria-hidden className="size-3.5 transition-transform group-open/trace:rotate-90" />
      </summary>
      <ol className="mt-1.5 ml-1.5 space-y-1.5 border-l border-line py-1 pl-4">
        {steps.map((step) => (
          <li key={step.step} className="flex items-center gap-2">
            {marks[step.state]}
            <span className={cx(step.state === "failed" && "text-warn")}>
              {stepName(step.step)}
              {step.label && step.label !== stepName(step.step) && (
                <span className="text-ink-2">: {step.label}</span>
              )}
              <span className="sr-only"> ({step.state})</span>
            </span>
          </li>
        ))}
      </ol>
    </details>
  );
}
