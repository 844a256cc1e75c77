// Second factors: authenticator app, passkeys, recovery codes.
import { useQuery } from "@tanstack/react-query";
import { Fingerprint, LifeBuoy, Smartphone } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Notice } from "../../ui/Notice";
import { Panel } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { factorsQuery } from "../auth/factors";
import { canUsePasskeys } from "../auth/passkey";
import { RecoveryCodes } from "../auth/RecoveryCodes";
import { useMe } from "../auth/session";
import { PasskeyDialog } from "./PasskeyDialog";
import { type Factors, useNewRecoveryCodes, useRemovePasskey, useRemoveTotp } from "./queries";
import { List, Row } from "./Rows";
import { TotpDialog } from "./TotpDialog";
import { agoText, dateText } from "./words";

type Opened =
  | { at: "totp" | "passkey" | "remove-totp" | "new-codes" }
  | { at: "remove-passkey"; id: string; name: string }
  | { at: "codes"; codes: string[] };

export function FactorsPanel() {
  const factors = useQuery(factorsQuery);
  const [opened, setOpened] = useState<Opened | null>(null);
  return (
    <Panel
      title="Second factors"
      about="Asked for after the password, so that a stolen password alone opens nothing."
    >
      {factors.isPending && <SkeletonRows rows={3} className="h-16" />}
      {factors.isError && !factors.data && (
        <Failure
          title="Your second factors could not be loaded"
          error={factors.error}
          onRetry={() => void factors.refetch()}
        />
      )}
      {factors.data && <FactorsList factors={factors.data} onOpen={setOpened} />}
      {opened && (
        <Opened
          opened={opened}
          onClose={() => setOpened(null)}
          onCodes={(codes) => setOpened(codes.length > 0 ? { at: "codes", codes } : null)}
        />
      )}
    </Panel>
  );
}

function FactorsList({ factors, onOpen }: { factors: Factors; onOpen: (opened: Opened) => void }) {
  const { totp, passkeys, recovery_codes_left: left } = factors;
  const enrolled = totp || passkeys.length > 0;
  return (
    <>
      {factors.policy === "off" && (
        <Notice kind="info" className="mb-3">
          Second factors are switched off in this AIBox. What you set up here is not asked for.
        </Notice>
      )}
      {factors.required && !enrolled && (
        <Notice kind="warn" className="mb-3">
          Your role needs a second factor. You set one up at your next sign-in, or now.
        </Notice>
      )}
      <List>
        <Row
          icon={Smartphone}
          title="Authenticator app"
          badge={totp ? <On /> : null}
          about={
            totp
              ? "Shows a new code every 30 seconds."
              : "A code from an app on your phone. Works everywhere."
          }
          action={
            totp ? (
              <Button look="quiet" className="h-9" onClick={() => onOpen({ at: "remove-totp" })}>
                Remove the app
              </Button>
            ) : (
              <Button className="h-9" onClick={() => onOpen({ at: "totp" })}>
                Set up
              </Button>
            )
          }
        />
        <Row
          icon={Fingerprint}
          title="Passkeys"
          badge={passkeys.length > 0 ? <On /> : null}
          about={
            canUsePasskeys()
              ? "Fingerprint, face, PIN or a security key. Cannot be phished."
              : "This browser cannot use passkeys here: they need https or localhost."
          }
          action={
            <Button
              look={passkeys.length > 0 ? "quiet" : "primary"}
              className="h-9"
              disabled={!canUsePasskeys()}
              onClick={() => onOpen({ at: "passkey" })}
            >
              Add a passkey
            </Button>
          }
        />
        {passkeys.map(({ id, name, created_at, used_at }) => (
          <li
            key={id}
            data-testid="passkey"
            className="flex flex-wrap items-center gap-x-4 gap-y-2 py-2.5 pr-4 pl-13 sm:pr-5 sm:pl-14"
          >
            <div className="min-w-0 flex-1 basis-40">
              <p className="font-medium break-words">{name}</p>
              <p className="text-sm text-ink-2">
                Added {dateText(created_at)} ·{" "}
                {used_at ? `last used ${agoText(used_at, new Date())}` : "not used yet"}
              </p>
            </div>
            <Button
              look="quiet"
              className="h-9"
              aria-label={`Remove the passkey ${name}`}
              onClick={() => onOpen({ at: "remove-passkey", id, name })}
            >
              Remove
            </Button>
          </li>
        ))}
        <Row
          icon={LifeBuoy}
          title="Recovery codes"
          badge={enrolled && left <= 2 ? <Badge tone="warn">{left} left</Badge> : null}
          about={
            enrolled
              ? `${left} of 10 left. Each lets you in once when you lose the other factors.`
              : "You get ten with your first second factor."
          }
          action={
            enrolled && (
              <Button look="quiet" className="h-9" onClick={() => onOpen({ at: "new-codes" })}>
                New codes
              </Button>
            )
          }
        />
      </List>
    </>
  );
}

function On() {
  return (
    <Badge tone="good" dot>
      On
    </Badge>
  );
}

interface OpenedProps {
  opened: Opened;
  onClose: () => void;
  onCodes: (codes: string[]) => void;
}

function Opened({ opened, onClose, onCodes }: OpenedProps) {
  const { user } = useMe();
  switch (opened.at) {
    case "totp":
      return <TotpDialog onClose={onClose} onDone={onCodes} />;
    case "passkey":
      return <PasskeyDialog onClose={onClose} onDone={onCodes} />;
    case "remove-totp":
      return <RemoveTotp onClose={onClose} />;
    case "remove-passkey":
      return <RemovePasskey id={opened.id} name={opened.name} onClose={onClose} />;
    case "new-codes":
      return <NewCodes onClose={onClose} onDone={onCodes} />;
    case "codes":
      return (
        <Modal open onClose={onClose} title="Save your recovery codes" className="max-w-md">
          <RecoveryCodes codes={opened.codes} account={user.email} onDone={onClose} />
        </Modal>
      );
  }
}

function RemoveTotp({ onClose }: { onClose: () => void }) {
  const removal = useRemoveTotp();
  return (
    <Confirm
      title="Remove the authenticator app?"
      action="Remove the app"
      busy={removal.isPending}
      error={removal.error}
      onConfirm={() => removal.mutate(undefined, { onSuccess: onClose })}
      onClose={onClose}
    >
      Its codes no longer work. Without another second factor your password alone signs you in.
    </Confirm>
  );
}

function RemovePasskey({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  const removal = useRemovePasskey();
  return (
    <Confirm
      title={`Remove the passkey “${name}”?`}
      action="Remove the passkey"
      busy={removal.isPending}
      error={removal.error}
      onConfirm={() => removal.mutate(id, { onSuccess: onClose })}
      onClose={onClose}
    >
      It no longer signs you in here. It stays on the device until you delete it there.
    </Confirm>
  );
}

function NewCodes({ onClose, onDone }: { onClose: () => void; onDone: (codes: string[]) => void }) {
  const making = useNewRecoveryCodes();
  return (
    <Confirm
      title="Make new recovery codes?"
      action="Make new codes"
      busy={making.isPending}
      error={making.error}
      onConfirm={() =>
        making.mutate(undefined, { onSuccess: ({ recovery_codes }) => onDone(recovery_codes) })
      }
      onClose={onClose}
    >
      The codes that you saved before stop working.
    </Confirm>
  );
}
