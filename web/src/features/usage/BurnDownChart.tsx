// What is left of a budget over its period, with the way it goes on at the pace so far, drawn as plain SVG.
import { dollarsText } from "../../ui/money";
import type { BurnDown } from "./burn";
import type { Budget } from "./queries";

export function BurnDownChart({ budget, burn }: { budget: Budget; burn: BurnDown }) {
  const now = burn.left.at(-1) ?? { x: 0, y: 1 };
  return (
    <figure className="mt-4">
      <svg
        role="img"
        aria-label={`Burn-down: ${dollarsText(budget.remaining_usd)} of ${dollarsText(budget.limit_usd)} left, ${dollarsText(budget.projected_usd)} projected.`}
        viewBox="0 0 100 100"
        preserveAspectRatio="none"
        className="h-24 w-full overflow-visible"
      >
        <line
          x1="0"
          y1="100"
          x2="100"
          y2="100"
          vectorEffect="non-scaling-stroke"
          className="stroke-line-strong"
        />
        <line
          x1="0"
          x2="100"
          y1={budget.soft_pct}
          y2={budget.soft_pct}
          vectorEffect="non-scaling-stroke"
          strokeDasharray="2 4"
          className="stroke-warn"
        />
        <path d={`${path(burn.left)} L${now.x * 100},100 L0,100 Z`} className="fill-accent-soft" />
        <path
          d={path(burn.left)}
          fill="none"
          strokeWidth="2"
          vectorEffect="non-scaling-stroke"
          className="stroke-accent"
        />
        {burn.projected && (
          <path
            d={path(burn.projected)}
            fill="none"
            strokeWidth="2"
            strokeDasharray="5 4"
            vectorEffect="non-scaling-stroke"
            className={burn.usedUpOn ? "stroke-danger" : "stroke-ink-3"}
          />
        )}
      </svg>
      <figcaption aria-hidden className="mt-1 text-xs text-ink-3">
        <span className="flex justify-between">
          <span>{time(budget.starts_at, budget.period)}</span>
          <span>{time(budget.resets_at, budget.period)}</span>
        </span>
        <span className="block text-center">dots: {budget.soft_pct} % used, dashes: the pace so far</span>
      </figcaption>
    </figure>
  );
}

/** Shares of 1 as a path in hundredths, what is left counted from the bottom. */
function path(points: { x: number; y: number }[]): string {
  return points.map(({ x, y }, at) => `${at === 0 ? "M" : "L"}${x * 100},${(1 - y) * 100}`).join(" ");
}

function time(iso: string, period: Budget["period"]): string {
  return new Date(iso).toLocaleString(
    undefined,
    period === "day"
      ? { hour: "2-digit", minute: "2-digit" }
      : { day: "numeric", month: "short", timeZone: "UTC" },
  );
}
