// Setting up an authenticator app: scan, then show that it works.
import { useEffect, useRef } from "react";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Skeleton } from "../../ui/Skeleton";
import { Enrolment } from "../auth/Enrolment";
import { TotpForm } from "../auth/FactorForms";
import { factorMessage } from "../auth/messages";
import { useBeginTotp, useConfirmTotp } from "./queries";

interface TotpDialogProps {
  onClose: () => void;
  /** With the first recovery codes, or none when there were some already. */
  onDone: (recoveryCodes: string[]) => void;
}

export function TotpDialog({ onClose, onDone }: TotpDialogProps) {
  const begin = useBeginTotp();
  const confirm = useConfirmTotp();
  const begun = useRef(false);

  // biome-ignore lint/correctness/useExhaustiveDependencies: one secret for each time that the window opens.
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    begin.mutate(undefined);
  }, []);

  return (
    <Modal open onClose={onClose} title="Set up an authenticator app">
      {begin.error && <Failure error={begin.error} onRetry={() => begin.mutate(undefined)} />}
      {begin.data ? (
        <div className="space-y-5">
          <Enrolment {...begin.data} />
          <TotpForm
            busy={confirm.isPending}
            error={confirm.error && factorMessage(confirm.error, "totp")}
            onSend={(code) =>
              confirm.mutate(code, { onSuccess: ({ recovery_codes }) => onDone(recovery_codes) })
            }
          />
        </div>
      ) : (
        !begin.error && <Skeleton className="h-44 w-full" />
      )}
    </Modal>
  );
}
