// Changing the password, which signs all other places out.
import { type FormEvent, useState } from "react";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Notice } from "../../ui/Notice";
import { Panel } from "../../ui/Panel";
import { fieldErrors, waitText } from "../auth/messages";
import { NewPasswordField } from "../auth/NewPasswordField";
import { PasswordField } from "../auth/PasswordField";
import { judgePassword } from "../auth/password";
import { useMe } from "../auth/session";
import { useChangePassword } from "./queries";

export function PasswordPanel() {
  const { user } = useMe();
  const [current, setCurrent] = useState("");
  const [wanted, setWanted] = useState("");
  const change = useChangePassword();
  const feedback = judgePassword(wanted);
  const errors = fieldErrors(change.error, ["password"]);
  const isWrong = codeOf(change.error) === "invalid_credentials";

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!feedback.acceptable || !current) return;
    change.mutate(
      { current, new: wanted },
      {
        onSuccess: () => {
          setCurrent("");
          setWanted("");
        },
      },
    );
  };

  return (
    <Panel title="Password" about="A change ends all your sessions but this one.">
      <form
        onSubmit={submit}
        className="space-y-4 rounded-2xl border border-line bg-surface px-4 py-4 sm:px-5"
      >
        <input type="text" name="username" autoComplete="username" value={user.email} readOnly hidden />
        <PasswordField
          label="Current password"
          autoComplete="current-password"
          value={current}
          onValue={setCurrent}
          error={isWrong ? "This is not your password." : null}
        />
        <NewPasswordField
          label="New password"
          value={wanted}
          onValue={setWanted}
          feedback={feedback}
          error={errors.password ?? errors.form}
        />
        {change.error && !isWrong && Object.keys(errors).length === 0 && <Refused error={change.error} />}
        <div className="flex items-center gap-3">
          <Button type="submit" busy={change.isPending} disabled={!feedback.acceptable || !current}>
            Change the password
          </Button>
          <span role="status" className="text-sm text-ink-2">
            {change.isSuccess && !wanted ? "Changed. Your other sessions have ended." : ""}
          </span>
        </div>
      </form>
    </Panel>
  );
}

function Refused({ error }: { error: Error }) {
  if (error instanceof ApiError && error.code === "rate_limited" && error.retryAfter !== null) {
    return <Notice kind="danger">Too many attempts. Try again in {waitText(error.retryAfter)}.</Notice>;
  }
  return <Failure error={error} />;
}

function codeOf(error: Error | null): string | null {
  return error instanceof ApiError ? error.code : null;
}
