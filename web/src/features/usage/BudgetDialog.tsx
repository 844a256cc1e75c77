// Making or changing a budget. Whose it is and its period are set once; the limit and what then happens can change.
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { Modal } from "../../ui/Modal";
import { amountFrom } from "../../ui/money";
import { Select } from "../../ui/Select";
import { subjectWords } from "./budgetWords";
import { type Budget, useAddBudget, useChangeBudget, usePeople } from "./queries";

const subjects: Record<Budget["subject"], string> = {
  tenant: "Everybody together",
  user: "One person",
  key: "An API key",
  agent: "An agent",
};

export function BudgetDialog({ budget, onClose }: { budget: Budget | null; onClose: () => void }) {
  const { nameOf } = usePeople();
  const [subject, setSubject] = useState<Budget["subject"]>(budget?.subject ?? "tenant");
  const [subjectId, setSubjectId] = useState(budget?.subject_id ?? "");
  const [period, setPeriod] = useState<Budget["period"]>(budget?.period ?? "month");
  const [limit, setLimit] = useState(budget?.limit_usd ?? "");
  const [soft, setSoft] = useState(String(budget?.soft_pct ?? 80));
  const [action, setAction] = useState<Budget["action"]>(budget?.action ?? "block");
  const [tried, setTried] = useState(false);
  const addition = useAddBudget();
  const change = useChangeBudget(budget?.id ?? "");
  const saving = budget ? change : addition;
  const limit_usd = amountFrom(limit);
  const soft_pct = /^([1-9]\d?|100)$/.test(soft.trim()) ? Number(soft) : null;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (limit_usd === null || soft_pct === null) return;
    const terms = { limit_usd, soft_pct, action };
    if (budget) change.mutate(terms, { onSuccess: onClose });
    else {
      const subject_id = subject === "tenant" ? "" : subjectId.trim();
      addition.mutate({ ...terms, subject, subject_id, period }, { onSuccess: onClose });
    }
  };
  return (
    <Modal
      open
      onClose={onClose}
      title={budget ? "Edit the budget" : "Add a budget"}
      description={
        budget
          ? `${subjectWords(budget, nameOf)}, each ${budget.period}.`
          : "What was already spent in the present period counts."
      }
    >
      <form onSubmit={submit} className="space-y-4">
        {!budget && (
          <>
            <div className="grid gap-4 sm:grid-cols-2">
              <Select
                label="Whose"
                value={subject}
                onChange={(event) => {
                  setSubject(event.target.value as Budget["subject"]);
                  setSubjectId("");
                }}
              >
                {Object.entries(subjects).map(([id, words]) => (
                  <option key={id} value={id}>
                    {words}
                  </option>
                ))}
              </Select>
              <Select
                label="Period"
                value={period}
                onChange={(event) => setPeriod(event.target.value as Budget["period"])}
              >
                <option value="month">Each month</option>
                <option value="day">Each day</option>
              </Select>
            </div>
            <SubjectField subject={subject} value={subjectId} onValue={setSubjectId} />
          </>
        )}
        <div className="grid gap-4 sm:grid-cols-2">
          <Field
            label="Limit in dollars"
            required
            inputMode="decimal"
            autoComplete="off"
            value={limit}
            onChange={(event) => setLimit(event.target.value)}
            error={
              tried && limit_usd === null ? "An amount without thousands separators, such as 250.00." : null
            }
          />
          <Field
            label="Note at percent"
            required
            inputMode="numeric"
            autoComplete="off"
            value={soft}
            onChange={(event) => setSoft(event.target.value)}
            error={tried && soft_pct === null ? "A whole number from 1 to 100." : null}
          />
        </div>
        <Select
          label="When it is used up"
          value={action}
          onChange={(event) => setAction(event.target.value as Budget["action"])}
          hint="A call to a model whose price nobody knows is refused where a budget refuses."
        >
          <option value="block">Refuse calls that cost something</option>
          <option value="warn">Let calls pass and note it</option>
        </Select>
        {saving.error && <Failure error={saving.error} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={saving.isPending}>
            {budget ? "Save" : "Add"}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

interface SubjectFieldProps {
  subject: Budget["subject"];
  value: string;
  onValue: (value: string) => void;
}

/** People are picked by name where they may be seen; everything else is named by its id. */
function SubjectField({ subject, value, onValue }: SubjectFieldProps) {
  const { people } = usePeople();
  if (subject === "tenant") return null;
  if (subject === "user" && people.length > 0) {
    return (
      <Select label="Person" required value={value} onChange={(event) => onValue(event.target.value)}>
        <option value="">Choose a person…</option>
        {people.map((person) => (
          <option key={person.id} value={person.pseudonym}>
            {person.name ? `${person.name} (${person.email})` : person.email}
          </option>
        ))}
      </Select>
    );
  }
  const labels = { user: "Pseudonym of the person", key: "Id of the API key", agent: "Id of the agent" };
  return (
    <Field
      label={labels[subject]}
      required
      autoComplete="off"
      spellCheck={false}
      value={value}
      onChange={(event) => onValue(event.target.value)}
    />
  );
}
