// The window that asks whether it is still you, before what could take an account over.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useCallback, useRef, useState } from "react";
import { answer, api } from "../../api/client";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Notice } from "../../ui/Notice";
import { Skeleton } from "../../ui/Skeleton";
import { OtherWays, PasskeyForm, RecoveryForm, TotpForm } from "./FactorForms";
import { factorsQuery } from "./factors";
import { ConfirmationContext } from "./fresh";
import { factorMessage, signInMessage } from "./messages";
import { PasswordField } from "./PasswordField";
import { canUsePasskeys } from "./passkey";
import type { Method } from "./pending";
import { useMe } from "./session";

export function StepUpProvider({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const answered = useRef<(confirmed: boolean) => void>(() => {});

  const ask = useCallback(
    () =>
      new Promise<boolean>((resolve) => {
        answered.current(false); // two acts at once: the first is given up
        answered.current = resolve;
        setOpen(true);
      }),
    [],
  );
  const close = (confirmed: boolean) => {
    setOpen(false);
    answered.current(confirmed);
  };

  return (
    <ConfirmationContext value={ask}>
      {children}
      {open && <StepUpDialog onDone={() => close(true)} onClose={() => close(false)} />}
    </ConfirmationContext>
  );
}

function StepUpDialog({ onDone, onClose }: { onDone: () => void; onClose: () => void }) {
  const factors = useQuery(factorsQuery);
  return (
    <Modal
      open
      onClose={onClose}
      title="Confirm that it is you"
      description="What you are about to do asks for a sign-in of the last ten minutes."
      className="max-w-md"
    >
      {factors.isPending && <Skeleton className="h-28 w-full" />}
      {factors.isError && <Failure error={factors.error} onRetry={() => void factors.refetch()} />}
      {factors.data && <StepUpForms methods={methodsOf(factors.data)} onDone={onDone} />}
    </Modal>
  );
}

type StepUpMethod = Exclude<Method, "push">;

function methodsOf(factors: {
  policy: string;
  totp: boolean;
  passkeys: unknown[];
  recovery_codes_left: number;
}) {
  if (factors.policy === "off") return [];
  const methods: StepUpMethod[] = [];
  if (factors.passkeys.length > 0) methods.push("webauthn");
  if (factors.totp) methods.push("totp");
  if (methods.length > 0 && factors.recovery_codes_left > 0) methods.push("recovery");
  return methods;
}

type StepUp =
  | { password: string }
  | { method: "totp" | "recovery"; code: string }
  | { method: "webauthn"; assertion: Record<string, unknown> };

function StepUpForms({ methods, onDone }: { methods: StepUpMethod[]; onDone: () => void }) {
  const queryClient = useQueryClient();
  const [method, setMethod] = useState(
    () => methods.find((one) => one !== "webauthn" || canUsePasskeys()) ?? methods[0],
  );
  const attempt = useMutation({
    mutationFn: (body: StepUp) => answer(api.POST("/v1/auth/step-up", { body })),
    onSuccess: onDone,
    onSettled: () => queryClient.invalidateQueries({ queryKey: factorsQuery.queryKey }),
  });
  if (method === undefined) {
    return (
      <PasswordForm
        busy={attempt.isPending}
        error={attempt.error && passwordMessage(attempt.error)}
        onSend={(password) => attempt.mutate({ password })}
      />
    );
  }
  const form = { busy: attempt.isPending, error: attempt.error && factorMessage(attempt.error, method) };
  return (
    <>
      {method === "totp" && <TotpForm {...form} onSend={(code) => attempt.mutate({ method, code })} />}
      {method === "recovery" && (
        <RecoveryForm {...form} onSend={(code) => attempt.mutate({ method, code })} />
      )}
      {method === "webauthn" && (
        <PasskeyForm
          {...form}
          options={() => answer(api.POST("/v1/auth/step-up/options"))}
          onSend={(assertion) => attempt.mutate({ method, assertion })}
        />
      )}
      <OtherWays
        methods={methods}
        current={method}
        onChoose={(next) => {
          attempt.reset();
          if (next !== "push") setMethod(next);
        }}
      />
    </>
  );
}

function passwordMessage(error: Error): string {
  return "code" in error && error.code === "invalid_credentials"
    ? "This is not your password."
    : signInMessage(error);
}

interface PasswordFormProps {
  onSend: (password: string) => void;
  busy: boolean;
  error: string | null;
}

function PasswordForm({ onSend, busy, error }: PasswordFormProps) {
  const { user } = useMe();
  const [password, setPassword] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (password) onSend(password);
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      {error && <Notice kind="danger">{error}</Notice>}
      {/* For password managers, which look for whose password it is. */}
      <input type="text" name="username" autoComplete="username" value={user.email} readOnly hidden />
      <PasswordField
        label="Password"
        autoComplete="current-password"
        value={password}
        onValue={setPassword}
      />
      <Button type="submit" className="w-full" busy={busy} disabled={!password}>
        Confirm
      </Button>
    </form>
  );
}
