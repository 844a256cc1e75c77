// Says plainly which model answers when that matters: a demonstration model, one that does not answer, or none.
import { FlaskConical, PlugZap } from "lucide-react";
import type { Model } from "../../api/types";
import { useFrame } from "../../app/frame";
import { shortModel } from "./words";

/** `model` is undefined when no model has the role `default`. */
export function ModelNote({ model }: { model: Model | undefined }) {
  if (!model) {
    return <Note icon={PlugZap}>No model is configured yet, so nothing can answer.</Note>;
  }
  if (model.aibox.demonstration) {
    return (
      <Note icon={FlaskConical} testId="demo-banner">
        You are talking to a small demonstration model ({shortModel(model.id)}).
        <span className="max-sm:hidden"> It shows how AIBox works; do not rely on what it says.</span>
      </Note>
    );
  }
  if (!model.aibox.healthy) {
    return <Note icon={PlugZap}>The model {shortModel(model.id)} does not answer at the moment.</Note>;
  }
  return null;
}

function Note(props: { icon: typeof PlugZap; testId?: string; children: React.ReactNode }) {
  const { openProviderHelp } = useFrame();
  const Icon = props.icon;
  return (
    <div
      role="note"
      data-testid={props.testId}
      aria-label="About the model"
      className="mb-2 flex items-start gap-2.5 rounded-xl border border-warn-line bg-warn-soft px-3.5 py-2 text-[0.8125rem] leading-snug text-warn"
    >
      <Icon aria-hidden className="mt-px size-4 shrink-0" />
      <p>
        {props.children}{" "}
        <button
          type="button"
          onClick={openProviderHelp}
          className="font-semibold underline underline-offset-2 hover:decoration-2"
        >
          Add a provider
        </button>
      </p>
    </div>
  );
}
