// What is changed but not in use yet: the differences as sentences, and the two ways to end it.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { bundleQuery, useEndStaging } from "./queries";

export function StagedBar() {
  const bundle = useQuery(bundleQuery);
  const apply = useEndStaging("apply");
  const discard = useEndStaging("discard");
  const [asked, setAsked] = useState(false);
  if (bundle.error && !bundle.data) {
    return (
      <Failure
        className="mb-6"
        title="Whether changes are staged could not be asked"
        error={bundle.error}
        onRetry={() => void bundle.refetch()}
      />
    );
  }
  if (!bundle.data || bundle.data.diff.length === 0) return null;
  const { diff, staged } = bundle.data;
  const failure = apply.error;
  return (
    <section
      aria-labelledby="staged"
      className="mb-8 rounded-xl border border-warn-line bg-warn-soft px-4 py-3.5"
    >
      <div className="flex flex-wrap items-start gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-72">
          <h2 id="staged" className="font-semibold text-warn">
            {diff.length === 1 ? "1 change is staged" : `${diff.length} changes are staged`}
          </h2>
          <p className="text-sm text-ink-2">Calls do not use them before they are applied.</p>
        </div>
        <div className="flex gap-2">
          <Button look="quiet" disabled={apply.isPending} onClick={() => setAsked(true)}>
            Discard…
          </Button>
          <Button busy={apply.isPending} onClick={() => apply.mutate(staged.revision)}>
            Apply
          </Button>
        </div>
      </div>
      <ul data-testid="staged-changes" className="mt-3 max-h-60 space-y-1 overflow-y-auto text-sm text-ink">
        {diff.map((change) => (
          <li key={change.sentence} className="flex gap-2.5">
            <span aria-hidden className="w-3 shrink-0 text-center font-mono text-warn">
              {{ added: "+", removed: "−", changed: "~" }[change.change]}
            </span>
            <span className="min-w-0 break-words">{change.sentence.replaceAll("`", "")}</span>
          </li>
        ))}
      </ul>
      {failure && <Failure className="mt-3" error={failure} />}
      {asked && (
        <Confirm
          title="Discard what is staged?"
          action="Discard"
          busy={discard.isPending}
          error={discard.error}
          onConfirm={() => discard.mutate(staged.revision, { onSuccess: () => setAsked(false) })}
          onClose={() => setAsked(false)}
        >
          The catalogue goes back to what calls use now. The {diff.length === 1 ? "change" : "changes"} above
          would have to be made again.
        </Confirm>
      )}
    </section>
  );
}
