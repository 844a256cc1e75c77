// A new secret for an authenticator app: to scan, or to type where there is no camera.
import { CopyButton } from "../../ui/copy";
import { QrCode } from "../../ui/QrCode";
import { grouped } from "./codes";

export function Enrolment({ secret, uri }: { secret: string; uri: string }) {
  return (
    <div className="flex flex-col items-center gap-x-5 gap-y-4 sm:flex-row sm:items-start">
      <QrCode
        text={uri}
        label="QR code for the authenticator app"
        className="size-44 shrink-0 border border-line"
      />
      <div className="min-w-0 text-ink-2">
        <p>Scan the code with an authenticator app, such as the one of your password manager.</p>
        <p className="mt-3 text-sm">No camera? Type this secret into the app:</p>
        <div className="mt-1 flex items-start gap-1">
          <code data-testid="totp-secret" className="font-mono text-sm break-words text-ink">
            {grouped(secret)}
          </code>
          <CopyButton text={secret} label="Copy secret" className="-mt-1.5" />
        </div>
      </div>
    </div>
  );
}
