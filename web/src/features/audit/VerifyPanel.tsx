// Checking the whole log again from its rows, while one can watch how far it is.
import { CircleCheck } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Notice } from "../../ui/Notice";
import { readLines } from "./lines";
import type { Verification } from "./queries";
import { type Check, settled } from "./settled";

export function VerifyPanel() {
  const { check, start } = useCheck();
  const seen = check.state === "running" ? check.seen : null;
  return (
    <section aria-labelledby="verify" className="rounded-xl border border-line bg-surface px-4 py-3.5">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-64">
          <h2 id="verify" className="font-semibold">
            Is the log as it was signed?
          </h2>
          <p className="text-sm text-ink-2">
            Every entry is computed again from what is stored and compared with the signed heads.
          </p>
        </div>
        <Button look="quiet" busy={check.state === "running"} onClick={start}>
          {check.state === "idle" ? "Verify the log" : "Verify again"}
        </Button>
      </div>
      {check.state === "running" && (
        <div className="mt-3">
          <div
            role="progressbar"
            aria-label="Entries checked"
            aria-valuemin={0}
            aria-valuemax={seen?.total ?? 1}
            aria-valuenow={seen?.checked ?? 0}
            className="h-1.5 overflow-hidden rounded-full bg-sunken"
          >
            <div
              className="h-full rounded-full bg-accent transition-[width]"
              style={{ width: `${seen && seen.total > 0 ? (seen.checked / seen.total) * 100 : 0}%` }}
            />
          </div>
          <p className="mt-1 text-xs text-ink-3 tabular-nums">
            {seen ? `${seen.checked} of ${seen.total} entries are sound` : "Beginning…"}
          </p>
        </div>
      )}
      <div role="status" data-testid="verify-result">
        {check.state === "done" && <Result result={check.result} />}
        {check.state === "failed" && (
          <Failure className="mt-3" title="The check did not finish" error={check.error} />
        )}
      </div>
    </section>
  );
}

function Result({ result }: { result: Verification }) {
  if (result.ok) {
    return (
      <p className="mt-3 flex items-center gap-2 font-medium text-accent">
        <CircleCheck aria-hidden className="size-4.5" />
        {result.checked === 1 ? "The 1 entry is sound." : `All ${result.checked} entries are sound.`}
      </p>
    );
  }
  const bad = result.first_bad;
  return (
    <Notice kind="danger" className="mt-3" title="The log is not what was signed">
      <p>{bad ? bad.reason : "It could not be checked to its end."}</p>
      {bad && (
        <p className="font-mono text-xs break-all">
          {bad.log}, entry {bad.idx}
          {bad.turn_id && `, turn ${bad.turn_id}`}
          {bad.seq !== null && bad.seq !== undefined && `, event ${bad.seq}`}
        </p>
      )}
    </Notice>
  );
}

function useCheck(): { check: Check; start: () => void } {
  const [check, setCheck] = useState<Check>({ state: "idle" });
  const leaving = useRef<AbortController | null>(null);
  useEffect(() => () => leaving.current?.abort(), []);
  const start = async () => {
    leaving.current?.abort();
    const leave = new AbortController();
    const { signal } = leave;
    leaving.current = leave;
    setCheck({ state: "running", seen: null });
    try {
      let last: Verification | null = null;
      for await (const line of readLines<Verification>("/v1/admin/audit/verify/progress", signal)) {
        last = line;
        setCheck({ state: "running", seen: line });
      }
      setCheck(settled(last));
    } catch (error) {
      // Whoever leaves the page is told nothing; everything else is shown, for silence would look like success.
      if (!signal.aborted) setCheck({ state: "failed", error: error as Error });
    }
  };
  return { check, start: () => void start() };
}
