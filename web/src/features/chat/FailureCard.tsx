// What went wrong with a turn, its stable code, and what can be done about it.
import { CircleAlert } from "lucide-react";
import { useEffect, useState } from "react";
import { useFrame } from "../../app/frame";
import { Button } from "../../ui/Button";
import { CopyButton } from "../../ui/copy";
import type { Failure } from "./run";
import { adviceFor } from "./words";

export function FailureCard(props: { failure: Failure; busy: boolean; onRetry: () => void }) {
  const { failure, busy, onRetry } = props;
  const { openProviderHelp } = useFrame();
  const wait = useCountdown(failure.retryAfter ?? 0);
  const advice = adviceFor(failure.code);
  return (
    <section
      role="alert"
      className="mt-2 flex gap-3 rounded-xl border border-danger-line bg-danger-soft px-4 py-3 first:mt-0"
    >
      <CircleAlert aria-hidden className="mt-0.5 size-4.5 shrink-0 text-danger" />
      <div className="min-w-0 flex-1">
        <p className="text-ink">{failure.message}</p>
        <div className="mt-0.5 flex flex-wrap items-center gap-x-2 font-mono text-xs text-ink-2">
          <span>{failure.code}</span>
          {failure.turnId && (
            <span className="flex min-w-0 items-center">
              <span className="truncate">turn {failure.turnId}</span>
              <CopyButton text={failure.turnId} label="Copy turn id" className="size-6" />
            </span>
          )}
        </div>
        <div className="mt-2.5 flex flex-wrap gap-2">
          <Button look="quiet" className="h-9" disabled={busy || wait > 0} onClick={onRetry}>
            {wait > 0 ? `Try again in ${wait} s` : "Try again"}
          </Button>
          {advice === "add-provider" && (
            <Button className="h-9" onClick={openProviderHelp}>
              Add a provider
            </Button>
          )}
        </div>
      </div>
    </section>
  );
}

function useCountdown(seconds: number): number {
  const [left, setLeft] = useState(seconds);
  useEffect(() => setLeft(seconds), [seconds]);
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return left;
}
