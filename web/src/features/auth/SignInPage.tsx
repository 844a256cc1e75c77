// Sign-in: with a password, or with another sign-in service; then the second factor where one is asked for.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { AppWindow, ArrowRight, Fingerprint } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Command } from "../../ui/copy";
import { Field } from "../../ui/Field";
import { Notice } from "../../ui/Notice";
import { Skeleton } from "../../ui/Skeleton";
import { AuthPage } from "./AuthPage";
import { factorMessage, refusedMessage, signInMessage, waitText } from "./messages";
import { PasswordField } from "./PasswordField";
import { canUsePasskeys } from "./passkey";
import { type Pending, pendingFromFragment, type Refused, refusedFromFragment } from "./pending";
import { RecoveryCodes } from "./RecoveryCodes";
import { SecondFactor } from "./SecondFactor";
import {
  authConfigQuery,
  idpsQuery,
  type SignInStep,
  signIn,
  signInByPasskey,
  signInByWindows,
} from "./session";
import { useCountdown } from "./useCountdown";

const route = getRouteApi("/sign-in");

type Stage =
  | { at: "password"; refused?: Refused }
  | { at: "second-factor"; pending: Pending }
  | { at: "recovery-codes"; codes: string[] };

export function SignInPage() {
  const queryClient = useQueryClient();
  const router = useRouter();
  const { next } = route.useSearch();
  const [account, setAccount] = useState("");
  const [stage, setStage] = useState<Stage>(firstStage);

  useEffect(() => {
    // Read once; a token has no place in the address and the history.
    if (window.location.hash)
      window.history.replaceState(window.history.state, "", window.location.href.split("#")[0]);
  }, []);

  const goOn = () => {
    queryClient.clear();
    router.history.push(next ?? "/");
  };
  const signedIn = (codes: string[]) =>
    codes.length > 0 ? setStage({ at: "recovery-codes", codes }) : goOn();
  const step = (done: SignInStep) =>
    done.state === "pending"
      ? setStage({ at: "second-factor", pending: done.pending })
      : signedIn(done.recoveryCodes);

  switch (stage.at) {
    case "password":
      return (
        <FirstStep
          account={account}
          onAccount={setAccount}
          onStep={step}
          next={next ?? "/"}
          refused={stage.refused}
        />
      );
    case "second-factor":
      return (
        <SecondFactor
          key={stage.pending.challengeToken}
          pending={stage.pending}
          onSignedIn={signedIn}
          onRestart={() => setStage({ at: "password" })}
        />
      );
    case "recovery-codes":
      return (
        <AuthPage title="Save your recovery codes">
          <div className="mt-3">
            <RecoveryCodes codes={stage.codes} account={account} onDone={goOn} />
          </div>
        </AuthPage>
      );
  }
}

function firstStage(): Stage {
  const { hash } = window.location;
  const pending = pendingFromFragment(hash);
  if (pending) return { at: "second-factor", pending };
  const refused = refusedFromFragment(hash);
  return refused ? { at: "password", refused } : { at: "password" };
}

interface FirstStepProps {
  account: string;
  onAccount: (account: string) => void;
  onStep: (step: SignInStep) => void;
  next: string;
  refused: Refused | undefined;
}

function FirstStep({ next, refused, ...form }: FirstStepProps) {
  const config = useQuery(authConfigQuery);
  const idps = useQuery(idpsQuery);
  if (config.data?.setupRequired) return <SetupFirst />;
  // All at once, so that no button moves under a hand.
  if (config.isPending || idps.isPending) {
    return (
      <AuthPage title="Sign in">
        <Skeleton className="mt-5 h-52" />
      </AuthPage>
    );
  }
  const byPassword = config.data?.passwordLoginEnabled ?? true;
  const others = idps.data ?? [];
  return (
    <AuthPage title="Sign in" aside="Accounts are made by your administrator; there is no sign-up.">
      {refused && <RefusedNotice refused={refused} />}
      {config.error && (
        <Notice kind="danger" className="mt-4">
          {signInMessage(config.error)}
        </Notice>
      )}
      {others.length > 0 && (
        <ul className="mt-5 space-y-2">
          {others.map(({ alias, displayName }) => (
            <li key={alias}>
              <a
                href={`/v1/auth/login?${new URLSearchParams({ idp: alias, redirect: next })}`}
                className="flex h-11 items-center justify-between gap-2 rounded-lg border border-line-strong/60 bg-surface px-4 font-medium hover:bg-sunken"
              >
                Sign in with {displayName}
                <ArrowRight aria-hidden className="size-4 text-accent" />
              </a>
            </li>
          ))}
        </ul>
      )}
      {others.length > 0 && byPassword && (
        <p className="mt-5 flex items-center gap-3 text-sm text-ink-3 before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">
          or with a password
        </p>
      )}
      {byPassword && <PasswordForm {...form} tenantAsked={config.data?.tenantAsked ?? false} />}
      {config.data?.passkeyLoginEnabled && canUsePasskeys() && <PasskeySignIn onStep={form.onStep} />}
      {config.data?.windowsLoginEnabled && <WindowsSignIn onStep={form.onStep} />}
      {!byPassword && others.length === 0 && !config.data?.windowsLoginEnabled && (
        <p className="mt-3 text-ink-2">
          Sign-in with a password is turned off here, and no other way is set up. Ask your administrator.
        </p>
      )}
    </AuthPage>
  );
}

type PasswordFormProps = Pick<FirstStepProps, "account" | "onAccount" | "onStep"> & { tenantAsked: boolean };

function PasswordForm({ account, onAccount, onStep, tenantAsked }: PasswordFormProps) {
  const [password, setPassword] = useState("");
  const [tenant, setTenant] = useState("");
  const attempt = useMutation({
    mutationFn: () => signIn(account.trim(), password, tenant.trim() || null),
    onSuccess: onStep,
    onError: () => setPassword(""),
  });
  const limited = attempt.error instanceof ApiError && attempt.error.code === "rate_limited";
  const wait = useCountdown(
    attempt.error instanceof ApiError && limited ? attempt.error.retryAfter : null,
    attempt.error,
  );
  const waitIsOver = limited && wait === 0;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (account.trim() && password && wait === 0) attempt.mutate();
  };

  return (
    <form onSubmit={submit} className="mt-5 space-y-4">
      {attempt.error && !waitIsOver && <Notice kind="danger">{signInMessage(attempt.error)}</Notice>}
      {tenantAsked && (
        <Field
          label="Organisation"
          name="organization"
          autoComplete="organization"
          maxLength={100}
          value={tenant}
          onChange={(event) => setTenant(event.target.value)}
          hint="Its name here, as your administrator told you. Empty: the first one."
        />
      )}
      <Field
        label="E-mail"
        type="email"
        name="username"
        autoComplete="username"
        autoFocus
        required
        value={account}
        onChange={(event) => onAccount(event.target.value)}
      />
      <PasswordField
        label="Password"
        autoComplete="current-password"
        value={password}
        onValue={setPassword}
      />
      <Button type="submit" className="w-full tabular-nums" busy={attempt.isPending} disabled={wait > 0}>
        {wait > 0 ? `Try again in ${waitText(wait)}` : "Sign in"}
      </Button>
    </form>
  );
}

/** The passkey says who it is for: nothing is typed. */
function PasskeySignIn({ onStep }: Pick<FirstStepProps, "onStep">) {
  const attempt = useMutation({ mutationFn: signInByPasskey, onSuccess: (step) => step && onStep(step) });
  return (
    <div className="mt-5 border-t border-line pt-5">
      {attempt.error && (
        <Notice kind="danger" className="mb-3">
          {factorMessage(attempt.error, "webauthn")}
        </Notice>
      )}
      <Button look="quiet" className="w-full" busy={attempt.isPending} onClick={() => attempt.mutate()}>
        {!attempt.isPending && <Fingerprint aria-hidden className="size-4.5 text-accent" />}
        Sign in with a passkey
      </Button>
    </div>
  );
}

function WindowsSignIn({ onStep }: Pick<FirstStepProps, "onStep">) {
  const attempt = useMutation({ mutationFn: signInByWindows, onSuccess: onStep });
  return (
    <div className="mt-5 border-t border-line pt-5">
      {attempt.error && (
        <Notice kind="danger" className="mb-3">
          {signInMessage(attempt.error)}
        </Notice>
      )}
      <Button look="quiet" className="w-full" busy={attempt.isPending} onClick={() => attempt.mutate()}>
        {!attempt.isPending && <AppWindow aria-hidden className="size-4.5 text-accent" />}
        Sign in with Windows
      </Button>
    </div>
  );
}

function RefusedNotice({ refused }: { refused: Refused }) {
  return (
    <Notice kind="danger" title="The other service did not sign you in" className="mt-4">
      <p>{refusedMessage(refused.code)}</p>
      <p className="mt-0.5 font-mono text-xs break-all">
        {refused.code}
        {refused.turn && ` turn ${refused.turn}`}
      </p>
    </Notice>
  );
}

function SetupFirst() {
  return (
    <AuthPage title="AIBox has no owner yet">
      <p className="mt-3 text-ink-2">
        Open the one-time setup link that AIBox printed in the terminal when it started. It creates the
        owner’s account.
      </p>
      <p className="mt-4 mb-2 text-sm text-ink-2">Lost it? This prints a new one:</p>
      <Command>aibox-admin users setup</Command>
    </AuthPage>
  );
}
