// The ways to show a second factor, one form each: at sign-in, and when something asks for it again.
import { Fingerprint, KeyRound, Smartphone, SmartphoneNfc } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { Button } from "../../ui/Button";
import { Field } from "../../ui/Field";
import { Notice } from "../../ui/Notice";
import { CodeField } from "./CodeField";
import { canUsePasskeys, signWithPasskey } from "./passkey";
import type { Method } from "./pending";

const WAYS = {
  webauthn: { label: "Use a passkey", icon: Fingerprint },
  push: { label: "Approve on a paired device", icon: SmartphoneNfc },
  totp: { label: "Use the authenticator app", icon: Smartphone },
  recovery: { label: "Use a recovery code", icon: KeyRound },
} as const;

interface FormProps<Sent> {
  onSend: (sent: Sent) => void;
  busy: boolean;
  error: string | null;
}

export function TotpForm({ onSend, busy, error }: FormProps<string>) {
  const [code, setCode] = useState("");

  useEffect(() => {
    if (error) setCode("");
  }, [error]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (code.length > 0) onSend(code);
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      <CodeField
        value={code}
        onValue={setCode}
        onComplete={onSend}
        busy={busy}
        error={error}
        hint="Your authenticator app shows it, and a new one every 30 seconds."
      />
      <Button type="submit" className="w-full" busy={busy} disabled={code.length === 0}>
        Go on
      </Button>
    </form>
  );
}

export function RecoveryForm({ onSend, busy, error }: FormProps<string>) {
  const [code, setCode] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (code.trim()) onSend(code.trim());
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      <Field
        label="Recovery code"
        name="recovery-code"
        autoComplete="off"
        autoCapitalize="characters"
        spellCheck={false}
        autoFocus
        required
        value={code}
        onChange={(event) => setCode(event.target.value)}
        error={error}
        hint="One of the ten that you saved. Each works once."
      />
      <Button type="submit" className="w-full" busy={busy} disabled={!code.trim()}>
        Go on
      </Button>
    </form>
  );
}

interface PasskeyFormProps extends FormProps<Record<string, unknown>> {
  /** What the passkey is to sign: known, or asked for anew at each try. */
  options: () => Promise<Record<string, unknown>>;
}

export function PasskeyForm({ options, onSend, busy, error }: PasskeyFormProps) {
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const ask = async () => {
    setAsking(true);
    setProblem(null);
    try {
      const assertion = await signWithPasskey(await options());
      if (assertion) onSend(assertion);
      else setProblem("The browser’s window was closed before a passkey was used.");
    } catch (failure) {
      setProblem(failure instanceof Error ? failure.message : String(failure));
    } finally {
      setAsking(false);
    }
  };
  if (!canUsePasskeys()) {
    return (
      <Notice kind="info">
        This browser cannot use passkeys here. They need a current browser, and an address with https or
        localhost.
      </Notice>
    );
  }
  const shown = asking || busy ? null : (problem ?? error);
  return (
    <div className="space-y-4">
      <p className="text-ink-2">
        Confirm with your fingerprint, your face, the device’s PIN or a security key.
      </p>
      {shown && <Notice kind="danger">{shown}</Notice>}
      <Button className="w-full" busy={asking || busy} onClick={() => void ask()}>
        {!asking && !busy && <Fingerprint aria-hidden className="size-4.5" />}
        Use the passkey
      </Button>
    </div>
  );
}

interface OtherWaysProps {
  methods: Method[];
  current: Method;
  onChoose: (method: Method) => void;
}

export function OtherWays({ methods, current, onChoose }: OtherWaysProps) {
  const others = methods.filter((method) => method !== current);
  if (others.length === 0) return null;
  return (
    <div className="mt-6 border-t border-line pt-4">
      <h2 className="text-sm font-medium text-ink-3">Another way</h2>
      <ul className="mt-1.5 -mx-2">
        {others.map((method) => {
          const { label, icon: Icon } = WAYS[method];
          return (
            <li key={method}>
              <button
                type="button"
                onClick={() => onChoose(method)}
                className="flex h-10 w-full items-center gap-2.5 rounded-lg px-2 text-left hover:bg-sunken"
              >
                <Icon aria-hidden className="size-4 text-accent" /> {label}
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
