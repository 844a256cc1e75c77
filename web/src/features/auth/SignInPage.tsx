// Sign-in with e-mail address and password.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Command } from "../../ui/copy";
import { Field } from "../../ui/Field";
import { Notice } from "../../ui/Notice";
import { AuthPage } from "./AuthPage";
import { signInMessage } from "./messages";
import { PasswordField } from "./PasswordField";
import { authConfigQuery, signIn } from "./session";

const route = getRouteApi("/sign-in");

export function SignInPage() {
  const config = useQuery(authConfigQuery);
  if (config.data?.setupRequired) return <SetupFirst />;
  return (
    <AuthPage title="Sign in" aside="Accounts are made by your administrator; there is no sign-up.">
      {config.error && (
        <Notice kind="danger" className="mt-4">
          {signInMessage(config.error)}
        </Notice>
      )}
      {config.data && !config.data.passwordLoginEnabled ? (
        <p className="mt-3 text-ink-2">Sign-in with a password is turned off here.</p>
      ) : (
        <SignInForm />
      )}
    </AuthPage>
  );
}

function SignInForm() {
  const queryClient = useQueryClient();
  const router = useRouter();
  const { next } = route.useSearch();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const attempt = useMutation({
    mutationFn: () => signIn(queryClient, email.trim(), password),
    onSuccess: () => router.history.push(next ?? "/"),
    onError: () => setPassword(""),
  });

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (email.trim() && password) attempt.mutate();
  };

  return (
    <form onSubmit={submit} className="mt-5 space-y-4">
      {attempt.error && <Notice kind="danger">{signInMessage(attempt.error)}</Notice>}
      <Field
        label="E-mail"
        type="email"
        name="username"
        autoComplete="username"
        autoFocus
        required
        value={email}
        onChange={(event) => setEmail(event.target.value)}
      />
      <PasswordField
        label="Password"
        autoComplete="current-password"
        value={password}
        onValue={setPassword}
      />
      <Button type="submit" className="w-full" busy={attempt.isPending}>
        Sign in
      </Button>
    </form>
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
