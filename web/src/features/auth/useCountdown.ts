// Counts down the seconds of a wait, so that a page can say when it is over.
import { useEffect, useState } from "react";

/** Seconds left of `seconds`, which begin anew whenever `since` changes. Zero when there is nothing to wait for. */
export function useCountdown(seconds: number | null, since: unknown): number {
  const [left, setLeft] = useState(seconds ?? 0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `since` is what a new wait is known by.
  useEffect(() => {
    const end = performance.now() + (seconds ?? 0) * 1000;
    const tick = () => setLeft(Math.max(0, Math.ceil((end - performance.now()) / 1000)));
    tick();
    if (!seconds) return;
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, [seconds, since]);

  return left;
}
