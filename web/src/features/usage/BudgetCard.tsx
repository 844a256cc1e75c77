// One budget: what is spent, set aside and left, its burn-down, and what can be done with it.
import { Pencil, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import { Badge } from "../../ui/Badge";
import { IconButton } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { dollarsText } from "../../ui/money";
import { BudgetDialog } from "./BudgetDialog";
import { BurnDownChart } from "./BurnDownChart";
import { paceWords, stateOf, subjectWords, termsWords } from "./budgetWords";
import { burnDown } from "./burn";
import { type Budget, usePeople, useRemoveBudget } from "./queries";

export function BudgetCard({ budget }: { budget: Budget }) {
  const { nameOf } = usePeople();
  const [opened, setOpened] = useState<"edit" | "remove" | null>(null);
  const id = useId();
  const name = subjectWords(budget, nameOf);
  const state = stateOf(budget);
  const burn = burnDown(budget, new Date());
  return (
    <li>
      <article
        aria-labelledby={id}
        data-testid="budget"
        className="rounded-2xl border border-line bg-surface p-4 sm:p-5"
      >
        <div className="flex items-start gap-2">
          <div className="min-w-0 flex-1">
            <h3 id={id} className="flex flex-wrap items-center gap-x-2.5 gap-y-1 font-semibold break-all">
              {name}
              <Badge tone={state.tone} dot>
                {state.label}
              </Badge>
            </h3>
            <p className="text-sm text-ink-2">{termsWords(budget)}</p>
          </div>
          <IconButton label={`Edit the budget of ${name}`} onClick={() => setOpened("edit")}>
            <Pencil aria-hidden className="size-4" />
          </IconButton>
          <IconButton label={`Remove the budget of ${name}`} onClick={() => setOpened("remove")}>
            <Trash2 aria-hidden className="size-4" />
          </IconButton>
        </div>
        <dl className="mt-3 grid grid-cols-3 gap-2">
          <Amount label="Spent" usd={budget.spent_usd} />
          <Amount label="Set aside" usd={budget.reserved_usd} />
          <Amount label="Left" usd={budget.remaining_usd} />
        </dl>
        <BurnDownChart budget={budget} burn={burn} />
        <p className="mt-2 text-sm text-ink-2">{paceWords(budget, burn.usedUpOn)}</p>
      </article>
      {opened === "edit" && <BudgetDialog budget={budget} onClose={() => setOpened(null)} />}
      {opened === "remove" && <RemoveDialog budget={budget} name={name} onClose={() => setOpened(null)} />}
    </li>
  );
}

function Amount({ label, usd }: { label: string; usd: string }) {
  return (
    <div>
      <dt className="text-xs text-ink-3">{label}</dt>
      <dd title={`$${usd}`} className="text-lg font-semibold tracking-tight tabular-nums">
        {dollarsText(usd)}
      </dd>
    </div>
  );
}

function RemoveDialog({ budget, name, onClose }: { budget: Budget; name: string; onClose: () => void }) {
  const removal = useRemoveBudget(budget.id);
  return (
    <Confirm
      title="Remove this budget?"
      action="Remove"
      busy={removal.isPending}
      error={removal.error}
      onConfirm={() => removal.mutate(undefined, { onSuccess: onClose })}
      onClose={onClose}
    >
      {name} may then spend without this limit. What was spent stays on record.
    </Confirm>
  );
}
