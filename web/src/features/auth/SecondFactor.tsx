// The second step of a sign-in: a passkey, a code, or a number that is typed on a paired device.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Notice } from "../../ui/Notice";
import { Skeleton } from "../../ui/Skeleton";
import { AuthPage } from "./AuthPage";
import { Enrolment } from "./Enrolment";
import { OtherWays, PasskeyForm, RecoveryForm, TotpForm } from "./FactorForms";
import { factorMessage, TRIES } from "./messages";
import { canUsePasskeys } from "./passkey";
import type { Method, Pending } from "./pending";
import { type Proof, proveSecondFactor, type SignInStep } from "./session";
import { useCountdown } from "./useCountdown";

const ASK_AGAIN_MS = 2000;

interface SecondFactorProps {
  pending: Pending;
  onSignedIn: (recoveryCodes: string[]) => void;
  onRestart: () => void;
}

export function SecondFactor({ pending, onSignedIn, onRestart }: SecondFactorProps) {
  const [method, setMethod] = useState(() => preferred(pending.methods));
  const [tries, setTries] = useState(0);
  const left = useCountdown(pending.expiresIn, pending.challengeToken);
  const attempt = useMutation({
    mutationFn: (proof: Proof) => proveSecondFactor(pending.challengeToken, proof),
    onSuccess: (step) => step.state === "signed-in" && onSignedIn(step.recoveryCodes),
    onError: () => setTries((before) => before + 1),
  });
  if (left === 0 || tries >= TRIES) return <BeginAgain expired={left === 0} onRestart={onRestart} />;

  const choose = (next: Method) => {
    attempt.reset();
    setMethod(next);
  };
  const form = { busy: attempt.isPending, error: attempt.error && factorMessage(attempt.error, method) };
  return (
    <AuthPage
      title={pending.enrolment ? "Set up your second factor" : "Confirm that it is you"}
      aside={
        <button type="button" onClick={onRestart} className="text-accent underline underline-offset-2">
          Sign in as someone else
        </button>
      }
    >
      <div className="mt-4">
        {pending.enrolment && (
          <div className="mb-5">
            <p className="mb-4 text-ink-2">This AIBox asks for a second factor beside the password.</p>
            <Enrolment {...pending.enrolment} />
          </div>
        )}
        {method === "totp" && <TotpForm {...form} onSend={(code) => attempt.mutate({ method, code })} />}
        {method === "recovery" && (
          <RecoveryForm {...form} onSend={(code) => attempt.mutate({ method, code })} />
        )}
        {method === "webauthn" && (
          <PasskeyForm
            {...form}
            options={async () => pending.webauthn ?? {}}
            onSend={(assertion) => attempt.mutate({ method, assertion })}
          />
        )}
        {method === "push" && <PushWait pending={pending} onSignedIn={onSignedIn} />}
        <OtherWays methods={pending.methods} current={method} onChoose={choose} />
      </div>
    </AuthPage>
  );
}

/** The easiest that works here: a passkey needs a browser and an address that can use it. */
function preferred(methods: Method[]): Method {
  return methods.find((method) => method !== "webauthn" || canUsePasskeys()) ?? methods[0] ?? "totp";
}

/** Asks the paired device, shows the number that is to be typed there, and waits for the answer. */
function PushWait({ pending, onSignedIn }: { pending: Pending; onSignedIn: (codes: string[]) => void }) {
  const step = useQuery({
    queryKey: ["push", pending.challengeToken],
    queryFn: (): Promise<SignInStep> => proveSecondFactor(pending.challengeToken, { method: "push" }),
    refetchInterval: ({ state }) => (state.error || state.data?.state === "signed-in" ? false : ASK_AGAIN_MS),
    refetchOnWindowFocus: false,
    retry: (failures, error) => failures < 3 && error instanceof ApiError && error.status === 0,
    gcTime: 0,
  });
  const signedIn = step.data?.state === "signed-in";

  // biome-ignore lint/correctness/useExhaustiveDependencies: it is told once.
  useEffect(() => {
    if (signedIn) onSignedIn([]);
  }, [signedIn]);

  if (step.error) return <Notice kind="danger">{factorMessage(step.error, "push")}</Notice>;
  const number = step.data?.state === "pending" ? step.data.pending.number : null;
  return (
    <div className="text-center">
      <p className="text-ink-2">Open AIBox on your paired device and type this number there:</p>
      {number ? (
        <p
          data-testid="push-number"
          className="mt-4 font-mono text-5xl font-semibold tracking-widest text-accent"
        >
          {number}
        </p>
      ) : (
        <Skeleton className="mx-auto mt-4 h-12 w-24" />
      )}
      <p role="status" className="mt-4 text-sm text-ink-3">
        Waiting for the device…
      </p>
    </div>
  );
}

function BeginAgain({ expired, onRestart }: { expired: boolean; onRestart: () => void }) {
  return (
    <AuthPage title="Begin again">
      <p role="alert" className="mt-3 text-ink-2">
        {expired
          ? "Too much time has passed since your password. For your safety the sign-in begins anew."
          : "None of these codes fitted. For your safety the sign-in begins anew."}
      </p>
      <Button className="mt-5" autoFocus onClick={onRestart}>
        Sign in
      </Button>
    </AuthPage>
  );
}
