// A row of sums.

export interface FigureOf {
  label: string;
  value: string;
  /** The exact amount, where the shown one is rounded. */
  title?: string;
}

export function Figures({ figures }: { figures: FigureOf[] }) {
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-xl border border-line bg-line sm:grid-cols-4">
      {figures.map(({ label, value, title }) => (
        <div key={label} className="bg-surface px-4 py-3">
          <dt className="text-xs text-ink-3">{label}</dt>
          <dd title={title} className="text-xl font-semibold tracking-tight tabular-nums">
            {value}
          </dd>
        </div>
      ))}
    </dl>
  );
}
