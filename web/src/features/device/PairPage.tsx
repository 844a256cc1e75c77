// The phone's side: pairs this browser by a code, and then approves sign-ins by the number that they show.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Smartphone } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { Notice } from "../../ui/Notice";
import { Skeleton } from "../../ui/Skeleton";
import { agentText, agoText } from "../account/words";
import { AuthPage } from "../auth/AuthPage";
import { digitsOf } from "../auth/codes";
import { approve, canBePaired, deny, forget, type PushRequest, pair, pairedName, waiting } from "./device";

const LOOK_MS = 2000;
const nameQuery = { queryKey: ["device", "name"], queryFn: pairedName, staleTime: Number.POSITIVE_INFINITY };

export default function PairPage() {
  const name = useQuery({ ...nameQuery, enabled: canBePaired() });
  if (!canBePaired()) {
    return (
      <AuthPage title="Pair this device">
        <Notice kind="warn" className="mt-4">
          A device can be paired only where AIBox is reached by https. Ask whoever runs it.
        </Notice>
      </AuthPage>
    );
  }
  if (name.isPending) {
    return (
      <AuthPage title="Pair this device">
        <Skeleton className="mt-4 h-40" />
      </AuthPage>
    );
  }
  return name.data ? <Approvals name={name.data} /> : <PairForm />;
}

function codeFromFragment(): string {
  return new URLSearchParams(window.location.hash.slice(1)).get("code") ?? "";
}

function PairForm() {
  const queryClient = useQueryClient();
  const [code, setCode] = useState(codeFromFragment);
  const [name, setName] = useState(() => agentText(navigator.userAgent));
  const pairing = useMutation({
    mutationFn: () => pair(code.trim(), name.trim()),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: nameQuery.queryKey }),
  });

  useEffect(() => {
    // Read once; a code has no place in the address and the history.
    if (window.location.hash) window.history.replaceState(window.history.state, "", window.location.pathname);
  }, []);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (code.trim() && name.trim()) pairing.mutate();
  };
  return (
    <AuthPage title="Pair this device">
      <p className="mt-2 text-ink-2">
        It then approves your sign-ins. Show a code on your account page, under Devices.
      </p>
      <form onSubmit={submit} className="mt-5 space-y-4">
        <Field
          label="Pairing code"
          name="pairing-code"
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          required
          placeholder="BCDF-GHJK"
          className="[&_input]:font-mono [&_input]:tracking-wider"
          value={code}
          onChange={(event) => setCode(event.target.value)}
        />
        <Field
          label="Name of this device"
          name="device-name"
          autoComplete="off"
          required
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        {pairing.error && <Notice kind="danger">{pairMessage(pairing.error)}</Notice>}
        <Button
          type="submit"
          className="w-full"
          busy={pairing.isPending}
          disabled={!code.trim() || !name.trim()}
        >
          Pair this device
        </Button>
      </form>
    </AuthPage>
  );
}

function pairMessage(error: Error): string {
  if (!(error instanceof ApiError)) return "This browser could not keep a key. Private windows often cannot.";
  return error.code === "invalid_grant"
    ? "This code was used, has expired, or is mistyped. Show a new one on your account page."
    : error.message;
}

function Approvals({ name }: { name: string }) {
  const request = useQuery({
    queryKey: ["device", "waiting"],
    queryFn: waiting,
    refetchInterval: ({ state }) => (hasEnded(state.error) ? false : LOOK_MS),
    retry: false,
  });
  const [answered, setAnswered] = useState<string | null>(null);
  if (hasEnded(request.error)) return <Ended />;
  if (request.data) return <Answer key={request.data.id} request={request.data} onAnswered={setAnswered} />;
  return (
    <AuthPage title="This device is paired" aside={<Forget />}>
      <div className="mt-4 flex items-center gap-3">
        <Smartphone aria-hidden className="size-6 text-accent" />
        <p className="min-w-0 font-medium break-words">{name}</p>
      </div>
      {answered && (
        <Notice kind="info" role="status" className="mt-4">
          {answered}
        </Notice>
      )}
      {request.error ? (
        <Failure className="mt-4" error={request.error} />
      ) : (
        <p className="mt-4 text-ink-2">
          No sign-in is waiting. Keep this page open: one that asks for this device appears here.
        </p>
      )}
    </AuthPage>
  );
}

/** The pairing is over: unpaired on the account page, or its session has ended. */
function hasEnded(error: Error | null): boolean {
  return error instanceof ApiError && (error.status === 401 || error.code === "invalid_grant");
}

function Ended() {
  const queryClient = useQueryClient();
  const again = useMutation({
    mutationFn: forget,
    onSuccess: () => queryClient.resetQueries({ queryKey: ["device"] }),
  });
  return (
    <AuthPage title="This pairing has ended">
      <p className="mt-3 text-ink-2">It was unpaired on your account page, or its session has ended.</p>
      <Button className="mt-5" busy={again.isPending} onClick={() => again.mutate()}>
        Pair it again
      </Button>
    </AuthPage>
  );
}

function Forget() {
  const queryClient = useQueryClient();
  const forgetting = useMutation({
    mutationFn: forget,
    onSuccess: () => queryClient.resetQueries({ queryKey: ["device"] }),
  });
  return (
    <button
      type="button"
      onClick={() => forgetting.mutate()}
      className="text-accent underline underline-offset-2"
    >
      Forget the pairing on this device
    </button>
  );
}

function Answer({ request, onAnswered }: { request: PushRequest; onAnswered: (text: string) => void }) {
  const queryClient = useQueryClient();
  const [number, setNumber] = useState("");
  const read = () => queryClient.invalidateQueries({ queryKey: ["device", "waiting"] });
  const approval = useMutation({
    mutationFn: () => approve(request.id, number),
    onSuccess: () => onAnswered("You approved the sign-in."),
    onError: (error) => onAnswered(error.message),
    onSettled: read,
  });
  const denial = useMutation({
    mutationFn: () => deny(request.id),
    onSuccess: () => onAnswered("You denied the sign-in. If it was not yours, change your password."),
    onError: (error) => onAnswered(error.message),
    onSettled: read,
  });
  const busy = approval.isPending || denial.isPending;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (number.length === 2) approval.mutate();
  };
  return (
    <AuthPage title="Is this you?">
      <p className="mt-2 text-ink-2">Someone signs in with your password.</p>
      <dl className="mt-4 space-y-2 rounded-xl border border-line bg-bg px-4 py-3 text-sm">
        {[
          ["At", request.origin],
          ["From", `${agentText(request.agent)}, ${request.address}`],
          ["Asked", agoText(request.created_at, new Date())],
        ].map(([term, value]) => (
          <div key={term} className="flex gap-3">
            <dt className="w-14 shrink-0 text-ink-3">{term}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ))}
      </dl>
      <form onSubmit={submit} className="mt-5 space-y-4">
        <Field
          label="Number on the other screen"
          name="number"
          inputMode="numeric"
          autoComplete="off"
          autoFocus
          required
          maxLength={2}
          className="[&_input]:text-center [&_input]:font-mono [&_input]:text-2xl [&_input]:tracking-widest"
          value={number}
          onChange={(event) => setNumber(digitsOf(event.target.value).slice(0, 2))}
          hint="A wrong number ends the sign-in."
        />
        <div className="grid grid-cols-2 gap-2">
          <Button look="danger" disabled={busy} busy={denial.isPending} onClick={() => denial.mutate()}>
            Deny
          </Button>
          <Button type="submit" busy={approval.isPending} disabled={busy || number.length !== 2}>
            Approve
          </Button>
        </div>
      </form>
    </AuthPage>
  );
}
