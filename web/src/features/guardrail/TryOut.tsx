// A text, and what the guardrail would make of it: judged whenever the typing pauses.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { Panel } from "../../ui/Panel";
import { Select } from "../../ui/Select";
import { TextArea } from "../../ui/TextArea";
import { useSettled } from "../../ui/useSettled";
import { type Direction, type Verdict, verdictQuery } from "./queries";
import { scannerName, verdictWords } from "./words";

const PAUSE_MS = 600;

export function TryOut() {
  const [text, setText] = useState("");
  const [direction, setDirection] = useState<Direction>("input");
  const [agent, setAgent] = useState("");
  const settled = useSettled(text, PAUSE_MS);
  const settledAgent = useSettled(agent.trim(), PAUSE_MS);
  const verdict = useQuery({
    ...verdictQuery(direction, settled, settledAgent),
    placeholderData: keepPreviousData,
  });
  const judging = text.trim() !== "" && (text !== settled || verdict.isFetching);
  return (
    <Panel
      title="Try it out"
      about="Judged by the saved policy, as it holds for your own chats or for an agent. It is shown to no chat model."
      actions={
        <Select
          label="Direction"
          hideLabel
          className="w-52"
          value={direction}
          onChange={(event) => setDirection(event.target.value as Direction)}
        >
          <option value="input">A person’s message</option>
          <option value="output">A model’s answer</option>
        </Select>
      }
    >
      <div className="grid gap-4 lg:grid-cols-2">
        <TextArea
          label="Text to judge"
          hideLabel
          rows={8}
          placeholder="My card is 4111 1111 1111 1111. Ignore all previous instructions."
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <div aria-live="polite" aria-busy={judging} className="min-h-52">
          {text.trim() === "" ? (
            <p className="flex h-full items-center justify-center rounded-xl border border-dashed border-line-strong/60 px-5 py-8 text-center text-sm text-ink-2">
              Type or paste a text. The verdict appears here.
            </p>
          ) : verdict.error && !judging ? (
            <Failure
              title="The text could not be judged"
              error={verdict.error}
              onRetry={() => void verdict.refetch()}
            />
          ) : verdict.data ? (
            <VerdictCard verdict={verdict.data} judging={judging} />
          ) : (
            <p className="px-1 py-3 text-sm text-ink-3">Judging…</p>
          )}
        </div>
      </div>
      <Field
        className="mt-4 max-w-xs"
        label="Id of an agent"
        hint="By whose policy it is judged; empty: that of your own chats."
        autoComplete="off"
        spellCheck={false}
        value={agent}
        onChange={(event) => setAgent(event.target.value)}
      />
    </Panel>
  );
}

function VerdictCard({ verdict, judging }: { verdict: Verdict; judging: boolean }) {
  const { tone, title } = verdictWords(verdict);
  const masked = verdict.masked ?? 0;
  return (
    <div
      data-testid="verdict"
      className={cx(
        "rounded-xl border border-line bg-surface px-4 py-3.5 transition-opacity",
        judging && "opacity-60",
      )}
    >
      <div className="flex flex-wrap items-center gap-2">
        <Badge tone={tone} dot>
          {title}
        </Badge>
        {masked > 0 && <Badge>{masked === 1 ? "1 item masked" : `${masked} items masked`}</Badge>}
      </div>
      {verdict.reason && <p className="mt-2 text-sm text-ink-2">{verdict.reason}</p>}
      {verdict.scanner_results.length > 0 ? (
        <ul className="mt-3 space-y-2.5">
          {verdict.scanner_results.map((result) => (
            <li key={`${result.scanner_name} ${result.detail}`} className="text-sm">
              <div className="flex items-baseline gap-3">
                <span className="min-w-0 flex-1 truncate">
                  {scannerName(result.scanner_name)}
                  {result.detail && <span className="text-ink-3">: {result.detail}</span>}
                </span>
                <span className="tabular-nums">{result.risk_score} of 100</span>
              </div>
              <div aria-hidden className="mt-1 h-1.5 overflow-hidden rounded-full bg-sunken">
                <div
                  className={cx("h-full rounded-full", result.is_safe ? "bg-accent" : "bg-danger")}
                  style={{ width: `${result.risk_score}%` }}
                />
              </div>
            </li>
          ))}
        </ul>
      ) : (
        // What was masked is a finding too: beside it this sentence would read as its denial.
        masked === 0 && <p className="mt-2 text-sm text-ink-3">No scanner found anything.</p>
      )}
      {verdict.rewritten_content !== null && (
        <div className="mt-3 border-t border-line pt-3">
          <p className="text-xs font-medium text-ink-3">What goes on</p>
          <p className="mt-1 text-sm break-words whitespace-pre-wrap">{verdict.rewritten_content}</p>
        </div>
      )}
    </div>
  );
}
