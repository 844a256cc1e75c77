// The days as stacked bars, drawn as plain SVG. What they show stands in words in the tables beside them.
import { cx } from "../../ui/cx";
import { countText, dollarsText } from "../../ui/money";
import { Table, Td, Th } from "../../ui/Table";
import { dayText } from "./periods";
import { type MeasureName, measures, type Stacked, scaleEnd } from "./spend";

const colours = [
  "fill-accent bg-accent",
  "fill-seal bg-seal",
  "fill-(--code-function) bg-(--code-function)",
  "fill-(--code-number) bg-(--code-number)",
  "fill-ink-3 bg-ink-3",
];

interface BarsProps {
  stacked: Stacked;
  measure: MeasureName;
  label: (key: string | null) => string;
}

export function Bars({ stacked, measure, label }: BarsProps) {
  const { keys, stacks, most } = stacked;
  const end = scaleEnd(most);
  const text = (amount: number) => (measure === "cost" ? dollarsText(amount) : countText(amount));
  const first = stacks[0];
  const last = stacks.at(-1);
  return (
    <figure className="mt-5 rounded-xl border border-line bg-surface px-4 pt-4 pb-3" data-testid="spend-bars">
      <figcaption className="mb-3 flex flex-wrap items-center gap-x-4 gap-y-1 text-[0.8125rem]">
        <span className="font-medium">{measures[measure].label} a day</span>
        {keys.map((key, at) => (
          <span key={key ?? ""} className="inline-flex min-w-0 items-center gap-1.5 text-ink-2">
            <span aria-hidden className={cx("size-2.5 shrink-0 rounded-sm", colours[at])} />
            <span className="truncate">{label(key)}</span>
          </span>
        ))}
      </figcaption>
      <div className="flex gap-2">
        <div
          aria-hidden
          className="flex h-44 w-14 shrink-0 flex-col justify-between text-right text-xs text-ink-3 tabular-nums"
        >
          <span className="-translate-y-1/2">{text(end)}</span>
          <span>{text(end / 2)}</span>
          <span className="translate-y-1/2">{measure === "cost" ? "$0" : "0"}</span>
        </div>
        <svg
          role="img"
          aria-label={`${measures[measure].label} on each of ${stacks.length} days, at most ${text(most)}. The days are listed below.`}
          viewBox={`0 0 ${stacks.length * 10} 100`}
          preserveAspectRatio="none"
          className="h-44 min-w-0 flex-1 overflow-visible"
        >
          {[0, 50, 100].map((y) => (
            <line
              key={y}
              x1="0"
              x2={stacks.length * 10}
              y1={y}
              y2={y}
              vectorEffect="non-scaling-stroke"
              className="stroke-line"
            />
          ))}
          {stacks.map((stack, day) => (
            <g key={stack.day}>
              <title>
                {[`${dayText(stack.day)}: ${text(stack.total)}`]
                  .concat(
                    keys
                      .map((key, at) => ({ key, amount: stack.parts[at] ?? 0 }))
                      .filter(({ amount }) => amount > 0)
                      .map(({ key, amount }) => `${label(key)}: ${text(amount)}`),
                  )
                  .join("\n")}
              </title>
              <rect x={day * 10} y="0" width="10" height="100" className="fill-transparent" />
              {segments(stack.parts, end).map(({ y, height }, at) => (
                <rect
                  key={keys[at] ?? ""}
                  x={day * 10 + 1.2}
                  y={y}
                  width="7.6"
                  height={height}
                  className={colours[at]}
                />
              ))}
            </g>
          ))}
        </svg>
      </div>
      <div aria-hidden className="mt-2 flex justify-between pl-16 text-xs text-ink-3">
        <span>{first && dayText(first.day)}</span>
        <span>{last && last !== first && dayText(last.day)}</span>
      </div>
      <details className="mt-2 text-sm">
        <summary className="w-fit rounded text-accent">Day by day</summary>
        <div className="mt-2">
          <Table caption={`${measures[measure].label} day by day`}>
            <thead>
              <tr>
                <Th>Day</Th>
                <Th numeric>Sum</Th>
                {keys.map((key) => (
                  <Th key={key ?? ""} numeric>
                    {label(key)}
                  </Th>
                ))}
              </tr>
            </thead>
            <tbody>
              {stacks
                .filter((stack) => stack.total > 0)
                .map((stack) => (
                  <tr key={stack.day}>
                    <Td className="whitespace-nowrap">{dayText(stack.day)}</Td>
                    <Td numeric>{text(stack.total)}</Td>
                    {keys.map((key, at) => (
                      <Td key={key ?? ""} numeric>
                        {text(stack.parts[at] ?? 0)}
                      </Td>
                    ))}
                  </tr>
                ))}
            </tbody>
          </Table>
        </div>
      </details>
    </figure>
  );
}

/** The parts from the bottom up, in hundredths of the scale. */
function segments(parts: number[], end: number): { y: number; height: number }[] {
  let top = 100;
  return parts.map((amount) => {
    const height = (amount / end) * 100;
    top -= height;
    return { y: top, height };
  });
}
