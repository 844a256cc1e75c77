// The page behind an invitation's link: a name and a password, or another sign-in service; then the second factor.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { ArrowRight } from "lucide-react";
import { useEffect, useState } from "react";
import { answer, api } from "../../api/client";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Notice } from "../../ui/Notice";
import { Skeleton } from "../../ui/Skeleton";
import { AuthPage } from "./AuthPage";
import { signInMessage } from "./messages";
import { NewAccountForm } from "./NewAccountForm";
import type { Pending } from "./pending";
import { RecoveryCodes } from "./RecoveryCodes";
import { SecondFactor } from "./SecondFactor";
import { acceptInvitation, authConfigQuery, idpsQuery, type SignInStep } from "./session";

type Stage =
  | { at: "welcome" }
  | { at: "second-factor"; pending: Pending }
  | { at: "recovery-codes"; codes: string[] };

export default function InvitePage() {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const [token] = useState(() => new URLSearchParams(window.location.hash.slice(1)).get("token") ?? "");
  const [stage, setStage] = useState<Stage>({ at: "welcome" });

  useEffect(() => {
    // Read once; a token has no place in the address and the history.
    if (window.location.hash)
      window.history.replaceState(window.history.state, "", window.location.href.split("#")[0]);
  }, []);

  const goOn = () => {
    queryClient.clear();
    void navigate({ to: "/", replace: true });
  };
  const signedIn = (codes: string[]) =>
    codes.length > 0 ? setStage({ at: "recovery-codes", codes }) : goOn();
  const step = (done: SignInStep) =>
    done.state === "pending"
      ? setStage({ at: "second-factor", pending: done.pending })
      : signedIn(done.recoveryCodes);

  switch (stage.at) {
    case "welcome":
      return token ? <Welcome token={token} onStep={step} /> : <LinkOver />;
    case "second-factor":
      return (
        <SecondFactor
          key={stage.pending.challengeToken}
          pending={stage.pending}
          onSignedIn={signedIn}
          // The account is made by then: it is signed in to as any other.
          onRestart={() => void navigate({ to: "/sign-in" })}
        />
      );
    case "recovery-codes":
      return (
        <AuthPage title="Save your recovery codes">
          <div className="mt-3">
            <RecoveryCodes codes={stage.codes} account="" onDone={goOn} />
          </div>
        </AuthPage>
      );
  }
}

interface WelcomeProps {
  token: string;
  onStep: (step: SignInStep) => void;
}

function Welcome({ token, onStep }: WelcomeProps) {
  const welcome = useQuery({
    queryKey: ["invitation", token],
    queryFn: () => answer(api.POST("/v1/auth/invitation", { body: { token } })),
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const config = useQuery(authConfigQuery);
  const idps = useQuery(idpsQuery);
  if (welcome.error) return <LinkOver error={welcome.error} />;
  if (!welcome.data || config.isPending || idps.isPending) {
    return (
      <AuthPage title="Your invitation">
        <Skeleton className="mt-5 h-52" />
      </AuthPage>
    );
  }
  const others = idps.data ?? [];
  const byPassword = config.data?.passwordLoginEnabled ?? true;
  return (
    <AuthPage
      title={`Join ${welcome.data.tenant}`}
      aside={`The link works once, until ${new Date(welcome.data.expires_at).toLocaleDateString("en-US", { month: "long", day: "numeric" })}.`}
    >
      <p className="mt-2 text-ink-2">
        You are invited as <strong className="font-medium text-ink">{welcome.data.email}</strong>.
      </p>
      {others.length > 0 && <OtherServices token={token} services={others} />}
      {others.length > 0 && byPassword && (
        <p className="mt-5 flex items-center gap-3 text-sm text-ink-3 before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">
          or with a password
        </p>
      )}
      {byPassword && (
        <NewAccountForm
          action="Make my account"
          email={welcome.data.email}
          create={({ name, password }) => acceptInvitation({ token, name, password })}
          onCreated={onStep}
          refusal={(error) => <Notice kind="danger">{signInMessage(error)}</Notice>}
        />
      )}
    </AuthPage>
  );
}

function OtherServices({
  token,
  services,
}: {
  token: string;
  services: { alias: string; displayName: string }[];
}) {
  const begin = useMutation({
    mutationFn: (idp: string) => answer(api.POST("/v1/auth/invitation/sso", { body: { token, idp } })),
    onSuccess: ({ address }) => window.location.assign(address),
  });
  return (
    <div className="mt-5 space-y-2">
      {begin.error && <Notice kind="danger">{signInMessage(begin.error)}</Notice>}
      {services.map(({ alias, displayName }) => (
        <Button
          key={alias}
          look="quiet"
          className="h-11 w-full"
          busy={begin.isPending}
          onClick={() => begin.mutate(alias)}
        >
          <span className="flex-1 text-left">Go on with {displayName}</span>
          <ArrowRight aria-hidden className="size-4 text-accent" />
        </Button>
      ))}
    </div>
  );
}

function LinkOver({ error }: { error?: Error }) {
  const isOver = error === undefined || (error instanceof ApiError && error.code === "challenge_invalid");
  return (
    <AuthPage title={isOver ? "This invitation does not open" : "Your invitation"}>
      <p className="mt-3 text-ink-2">
        {isOver
          ? "The link was used, was taken back, has expired, or is not complete. Ask whoever invited you for a new one."
          : signInMessage(error)}
      </p>
      <p className="mt-5 text-sm text-ink-2">
        Do you have an account already?{" "}
        <Link to="/sign-in" className="text-accent underline underline-offset-2">
          Sign in
        </Link>
      </p>
    </AuthPage>
  );
}
