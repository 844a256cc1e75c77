// An answer: what was done, what was written, what went wrong, and under it the receipt, the usage and the actions.
import { Ban, CirclePause, RotateCcw, WifiOff } from "lucide-react";
import type { Usage } from "../../api/types";
import { IconButton } from "../../ui/Button";
import { CopyButton } from "../../ui/copy";
import { CitationContext } from "../markdown/citations";
import { Markdown } from "../markdown/Markdown";
import { ReceiptBadge } from "../receipt/ReceiptBadge";
import { FailureCard } from "./FailureCard";
import { MaskedButton } from "./MaskedButton";
import { OfferCard } from "./OfferCard";
import { RecalledButton } from "./Recalled";
import { SourcesButton, useSources } from "./Sources";
import { ToolUses } from "./ToolUses";
import { TraceLine } from "./TraceLine";
import { type Answer, passagesOf } from "./thread";
import { asks } from "./toolWords";
import { costText, shortModel } from "./words";

interface AnswerViewProps {
  sessionId: string | null;
  answer: Answer;
  busy: boolean;
  onRetry: () => void;
}

export function AnswerView({ sessionId, answer, busy, onRetry }: AnswerViewProps) {
  const sources = useSources(answer.citations);
  const writing = answer.phase === "writing" || answer.phase === "reconnecting";
  const waiting = writing && answer.text === "";
  const passages = passagesOf(answer);
  return (
    <article aria-label="AIBox" aria-busy={writing} data-testid="assistant-message">
      <TraceLine steps={answer.steps} writing={writing} busyWith={busyWith(answer)} />
      {waiting && answer.steps.length === 0 && <Dots />}
      <CitationContext value={sources.chip}>
        {passages.map((passage) =>
          passage.kind === "text" ? (
            <Markdown
              key={passage.key}
              text={passage.text}
              streaming={writing && passage === passages.at(-1)}
            />
          ) : (
            <ToolUses key={passage.key} uses={passage.uses} turnId={answer.runId} />
          ),
        )}
      </CitationContext>
      {answer.phase === "reconnecting" && (
        <Remark icon={WifiOff}>The connection broke. The answer goes on; reconnecting…</Remark>
      )}
      {answer.finishReason === "cancelled" && <Remark icon={CirclePause}>You stopped this answer.</Remark>}
      {answer.finishReason === "length" && (
        <Remark icon={CirclePause}>The answer ends here: the model’s limit of length was reached.</Remark>
      )}
      {answer.finishReason === "tool_limit" && (
        <Remark icon={CirclePause}>
          The answer ends here: it used tools as often as one answer may. Ask again to go on.
        </Remark>
      )}
      {(answer.blocked || answer.finishReason === "blocked") && <BlockedCard blocked={answer.blocked} />}
      {answer.failure && <FailureCard failure={answer.failure} busy={busy} onRetry={onRetry} />}
      {answer.offers.map((offer) => (
        <OfferCard key={offer.id} offer={offer} />
      ))}
      {!writing && (answer.runId || answer.text || !answer.failure) && (
        <footer className="mt-2.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-ink-3">
          {answer.runId && <ReceiptBadge turnId={answer.runId} known={answer.receipt} />}
          <SourcesButton sources={sources} />
          <RecalledButton recalled={answer.recalled} />
          {sessionId && <MaskedButton steps={answer.steps} tokens={answer.masked} sessionId={sessionId} />}
          {answer.usage && <UsageLine usage={answer.usage} />}
          <div className="ml-auto flex max-sm:order-last">
            {answer.text && <CopyButton text={answer.text} label="Copy answer" />}
            {!answer.failure && (
              <IconButton label="Regenerate answer" disabled={busy} onClick={onRetry}>
                <RotateCcw aria-hidden className="size-4" />
              </IconButton>
            )}
          </div>
        </footer>
      )}
      {sources.panel}
    </article>
  );
}

/** What goes on while a tool is used: the step that asks the model waits for it. */
function busyWith({ tools }: Answer): string | null {
  const current = tools.findLast((use) => use.state === "running");
  if (!current) return null;
  return asks(current) ? "Waiting for your answer" : "Using tools";
}

function Dots() {
  return (
    <div className="flex h-6 items-center gap-1.5" aria-hidden>
      {[0, 150, 300].map((delay) => (
        <span
          key={delay}
          className="size-1.5 rounded-full bg-accent"
          style={{ animation: "breathe 1.1s ease-in-out infinite", animationDelay: `${delay}ms` }}
        />
      ))}
    </div>
  );
}

function Remark({ icon: Icon, children }: { icon: typeof Ban; children: string }) {
  return (
    <p className="mt-2 flex items-center gap-2 text-sm text-ink-3">
      <Icon aria-hidden className="size-4 shrink-0" />
      {children}
    </p>
  );
}

function BlockedCard({ blocked }: { blocked: Answer["blocked"] }) {
  const title = {
    input: "The guardrail stopped this message",
    output: "The guardrail held this answer back",
    unknown: "The guardrail stopped this turn",
  }[blocked?.direction === "input" || blocked?.direction === "output" ? blocked.direction : "unknown"];
  return (
    <section
      aria-label="Blocked"
      className="mt-1 flex gap-3 rounded-xl border border-warn-line bg-warn-soft px-4 py-3 text-warn"
    >
      <Ban aria-hidden className="mt-0.5 size-4.5 shrink-0" />
      <div className="min-w-0">
        <p className="font-semibold">{title}</p>
        {blocked?.reason && <p>{blocked.reason}</p>}
        {blocked?.direction === "input" && (
          <p>It did not reach the model. Edit the message and send it again.</p>
        )}
        {blocked && blocked.scanners.length > 0 && (
          <ul aria-label="Scanners" className="mt-1.5 flex flex-wrap gap-1.5">
            {blocked.scanners.map((scanner) => (
              <li
                key={scanner}
                className="rounded-full border border-warn-line px-2 font-mono text-xs leading-5"
              >
                {scanner}
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}

function UsageLine({ usage }: { usage: Usage }) {
  const context = usage.context_max
    ? `${usage.context_used} of ${usage.context_max} tokens of context used, by ${usage.provider}`
    : `By ${usage.provider}`;
  return (
    <p
      title={context}
      className="min-w-0 truncate tabular-nums max-sm:order-last max-sm:flex-1 max-sm:basis-3/5"
    >
      {shortModel(usage.model)} · {usage.input_tokens} in, {usage.output_tokens} out
      <span className="sr-only"> tokens</span> · {costText(usage.cost_usd)}
    </p>
  );
}
