// The one-time setup link: creates the owner. The token stands in the fragment, so that no log ever holds it.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { ApiError } from "../../api/errors";
import { Command } from "../../ui/copy";
import { Notice } from "../../ui/Notice";
import { AuthPage } from "./AuthPage";
import { waitText } from "./messages";
import { NewAccountForm } from "./NewAccountForm";
import { authConfigQuery, setUp } from "./session";

function tokenFromFragment(): string {
  return new URLSearchParams(window.location.hash.slice(1)).get("token") ?? "";
}

export function SetupPage() {
  const [token, setToken] = useState(tokenFromFragment);
  const config = useQuery(authConfigQuery);

  useEffect(() => {
    const changed = () => setToken(tokenFromFragment());
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);

  if (config.data && !config.data.setupRequired) return <AlreadySetUp />;
  return token ? <OwnerForm key={token} token={token} /> : <NoToken />;
}

function OwnerForm({ token }: { token: string }) {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  return (
    <AuthPage title="Create the owner" aside="AIBox runs on your machine. Nothing you enter here leaves it.">
      <p className="mt-2 text-ink-2">
        The owner manages people, models and rules of this AIBox. The link works once.
      </p>
      <NewAccountForm
        action="Create owner and sign in"
        create={(account) => setUp(queryClient, { token, ...account })}
        onCreated={() => void navigate({ to: "/", replace: true })}
        refusal={(error) => <SetupFailure error={error} />}
      />
    </AuthPage>
  );
}

function SetupFailure({ error }: { error: Error }) {
  if (error instanceof ApiError && error.code === "challenge_invalid") {
    return (
      <Notice kind="danger" title="This setup link no longer works">
        <p className="mb-2">It has expired, or was used already. Print a new one in the terminal:</p>
        <Command className="text-ink">aibox-admin users setup</Command>
      </Notice>
    );
  }
  if (error instanceof ApiError && error.code === "rate_limited" && error.retryAfter !== null) {
    return <Notice kind="danger">Too many attempts. Try again in {waitText(error.retryAfter)}.</Notice>;
  }
  return <Notice kind="danger">{error.message}</Notice>;
}

function NoToken() {
  return (
    <AuthPage title="This page needs your setup link">
      <p className="mt-3 text-ink-2">
        AIBox printed a one-time link in the terminal where it was started. Open that link: it carries the
        token that this page needs.
      </p>
      <p className="mt-4 mb-2 text-sm text-ink-2">Lost it? This prints a new one:</p>
      <Command>aibox-admin users setup</Command>
      <p className="mt-5 text-sm text-ink-2">
        Do you have an account already?{" "}
        <Link to="/sign-in" className="text-accent underline underline-offset-2">
          Sign in
        </Link>
      </p>
    </AuthPage>
  );
}

function AlreadySetUp() {
  return (
    <AuthPage title="AIBox is set up">
      <p className="mt-3 text-ink-2">
        It has its owner, so the setup link has done its work and no longer opens.
      </p>
      <Link
        to="/sign-in"
        className="mt-5 inline-flex h-10 items-center rounded-lg bg-accent px-4 font-medium text-accent-ink hover:bg-accent-hover"
      >
        Sign in
      </Link>
    </AuthPage>
  );
}
