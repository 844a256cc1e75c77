// The budgets: how far each is used, and where its pace leads.
import { useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Empty, Panel } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { BooksNote } from "./BooksNote";
import { BudgetCard } from "./BudgetCard";
import { BudgetDialog } from "./BudgetDialog";
import { budgetsQuery } from "./queries";

export function BudgetsPanel() {
  const budgets = useQuery(budgetsQuery);
  const [adding, setAdding] = useState(false);
  return (
    <Panel
      title="Budgets"
      about="What a call may cost is set aside before it is made. All budgets that hold for a call hold at once."
      actions={
        <Button onClick={() => setAdding(true)}>
          <Plus aria-hidden className="size-4" /> Add a budget
        </Button>
      }
    >
      {budgets.isPending && <SkeletonRows rows={2} className="h-56" />}
      {budgets.isError && !budgets.data && (
        <Failure
          title="The budgets could not be loaded"
          error={budgets.error}
          onRetry={() => void budgets.refetch()}
        />
      )}
      {budgets.data?.length === 0 && (
        <Empty title="No budget holds yet">
          A budget limits what everybody, one person, an API key or an agent may spend in a day or a month.
        </Empty>
      )}
      <ul className="grid gap-4 lg:grid-cols-2">
        {budgets.data?.map((budget) => (
          <BudgetCard key={budget.id} budget={budget} />
        ))}
      </ul>
      <BooksNote />
      {adding && <BudgetDialog budget={null} onClose={() => setAdding(false)} />}
    </Panel>
  );
}
