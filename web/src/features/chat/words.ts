// Plain words for what the server names by code.

const steps: Record<string, string> = {
  prepare: "Preparing",
  guard_in: "Checking your message",
  flag: "Safety",
  recall: "Looking into memory",
  consult: "Looking into the documents",
  ask: "Asking the model",
  act: "Using tools",
  guard_out: "Checking the answer",
  resolve: "Finishing",
  remember: "Remembering",
};

export function stepName(step: string): string {
  return steps[step] ?? step.replaceAll("_", " ");
}

/** What to do about an error, where there is something. */
export function adviceFor(code: string): "add-provider" | "wait" | null {
  if (["role_not_configured", "role_no_backend", "model_not_found"].includes(code)) return "add-provider";
  return code === "rate_limited" ? "wait" : null;
}

/** `null` is unknown, which is not free. */
export function costText(cost: string | null | undefined): string {
  if (cost === null || cost === undefined) return "price unknown";
  const dollars = Number(cost);
  if (Number.isNaN(dollars)) return "price unknown";
  if (dollars === 0) return "no cost";
  return dollars < 0.01 ? `$${dollars.toPrecision(2)}` : `$${dollars.toFixed(2)}`;
}

/** `provider/model` and file names are long; the last part tells models apart. */
export function shortModel(model: string): string {
  return model.split("/").at(-1) ?? model;
}

/** What the guardrail says that it masked in the message, such as "2 items masked". */
export function maskedText(steps: { step: string; label: string }[]): string | null {
  const told = steps.find(({ step, label }) => step === "guard_in" && / masked$/.test(label));
  return told?.label ?? null;
}
