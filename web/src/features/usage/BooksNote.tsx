// Whether the books agree with the log: what is set aside and spent, and what does not add up.
import { useQuery } from "@tanstack/react-query";
import { CircleCheck } from "lucide-react";
import { Notice } from "../../ui/Notice";
import { booksWords } from "./budgetWords";
import { balanceQuery } from "./queries";

export function BooksNote() {
  const { data } = useQuery(balanceQuery);
  if (!data) return null;
  if (!data.is_balanced) {
    return (
      <Notice kind="danger" title="The books do not agree with the log" className="mt-4">
        <ul className="list-inside list-disc text-sm">
          {data.problems.map((problem) => (
            <li key={problem}>{problem}</li>
          ))}
        </ul>
      </Notice>
    );
  }
  return (
    <p className="mt-4 flex items-start gap-2 text-sm text-ink-3" data-testid="books">
      <CircleCheck aria-hidden className="mt-0.5 size-4 shrink-0 text-accent" />
      {booksWords(data)}
    </p>
  );
}
