// A new password, judged while it is typed.
import { cx } from "../../ui/cx";
import { PasswordField } from "./PasswordField";
import type { PasswordFeedback } from "./password";

interface NewPasswordFieldProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  feedback: PasswordFeedback;
  error?: string | null;
}

export function NewPasswordField({ feedback, ...field }: NewPasswordFieldProps) {
  return (
    <PasswordField
      {...field}
      autoComplete="new-password"
      hint={
        <>
          <span aria-hidden className="mb-1.5 block h-1 overflow-hidden rounded-full bg-sunken">
            <span
              className={cx(
                "block h-full rounded-full transition-all",
                feedback.acceptable ? "bg-accent" : "bg-seal",
              )}
              style={{ width: `${feedback.strength * 100}%` }}
            />
          </span>
          <span aria-live="polite">{feedback.message}</span>
        </>
      }
    />
  );
}
