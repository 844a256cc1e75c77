// Paired devices, and the QR code that pairs a new one.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { QrCode as QrIcon, Smartphone } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Empty, Panel } from "../../ui/Panel";
import { QrCode } from "../../ui/QrCode";
import { Skeleton } from "../../ui/Skeleton";
import { waitText } from "../auth/messages";
import { useCountdown } from "../auth/useCountdown";
import { type Device, devicesQuery, useStartPairing, useUnpair } from "./queries";
import { Row, Rows } from "./Rows";
import { dateText } from "./words";

const LOOK_MS = 3000;

export function DevicesPanel() {
  const devices = useQuery(devicesQuery);
  const [pairing, setPairing] = useState(false);
  const [unpairing, setUnpairing] = useState<Device | null>(null);
  return (
    <Panel
      title="Devices"
      about="A paired device approves your sign-ins, beside another second factor. It never administers."
      actions={
        <Button onClick={() => setPairing(true)}>
          <QrIcon aria-hidden className="size-4" /> Pair a device
        </Button>
      }
    >
      <Rows
        query={devices}
        failed="Your devices could not be loaded"
        empty={<Empty title="No paired device">Pair your phone to approve sign-ins on it.</Empty>}
        row={(device) => (
          <Row
            key={device.id}
            testId="device"
            icon={Smartphone}
            title={device.name}
            about={`Paired ${dateText(device.created_at)}`}
            action={
              <Button
                look="quiet"
                className="h-9"
                aria-label={`Unpair ${device.name}`}
                onClick={() => setUnpairing(device)}
              >
                Unpair
              </Button>
            }
          />
        )}
      />
      {pairing && <PairDialog onClose={() => setPairing(false)} />}
      {unpairing && <UnpairDialog device={unpairing} onClose={() => setUnpairing(null)} />}
    </Panel>
  );
}

function PairDialog({ onClose }: { onClose: () => void }) {
  const queryClient = useQueryClient();
  const start = useStartPairing();
  const begun = useRef(false);
  const left = useCountdown(start.data?.expires_in ?? null, start.data?.code);
  const paired = usePairedSince(start.data?.code ?? null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: one code for each time that the window opens.
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    start.mutate(undefined);
  }, []);

  const close = () => {
    void queryClient.invalidateQueries({ queryKey: devicesQuery.queryKey });
    onClose();
  };
  return (
    <Modal open onClose={close} title="Pair a device" className="max-w-md">
      {start.error && <Failure error={start.error} onRetry={() => start.mutate(undefined)} />}
      {start.isPending && <Skeleton className="mx-auto size-56" />}
      {paired && (
        <div role="status" className="text-center">
          <p className="text-lg font-semibold">{paired.name} is paired</p>
          <p className="mt-1 text-ink-2">It can approve your sign-ins from now on.</p>
          <Button className="mt-5" onClick={close}>
            Done
          </Button>
        </div>
      )}
      {start.data && !paired && left === 0 && (
        <div className="text-center">
          <p className="text-ink-2">This code has expired.</p>
          <Button className="mt-4" onClick={() => start.mutate(undefined)}>
            Show a new one
          </Button>
        </div>
      )}
      {start.data && !paired && left > 0 && (
        <div className="text-center">
          <p className="text-ink-2">Scan this with the camera of the new device.</p>
          <QrCode
            text={start.data.qr}
            label="QR code that pairs a device"
            className="mx-auto mt-4 size-56 border border-line"
          />
          <p className="mt-4 text-sm text-ink-2">
            Or open <span className="font-mono break-all text-ink">{window.location.origin}/pair</span> there,
            and type
          </p>
          <p data-testid="pairing-code" className="mt-1 font-mono text-2xl font-semibold tracking-wider">
            {start.data.code}
          </p>
          <p className="mt-3 text-sm text-ink-3 tabular-nums">Good once, for {waitText(left)} more.</p>
        </div>
      )}
    </Modal>
  );
}

/** The device that was paired while the code was shown. */
function usePairedSince(code: string | null): Device | undefined {
  const devices = useQuery({ ...devicesQuery, refetchInterval: code ? LOOK_MS : false });
  const before = useRef<Set<string>>(undefined);
  if (before.current === undefined && devices.data) {
    before.current = new Set(devices.data.map(({ id }) => id));
  }
  return devices.data?.find(({ id }) => before.current && !before.current.has(id));
}

function UnpairDialog({ device, onClose }: { device: Device; onClose: () => void }) {
  const removal = useUnpair();
  return (
    <Confirm
      title={`Unpair “${device.name}”?`}
      action="Unpair the device"
      busy={removal.isPending}
      error={removal.error}
      onConfirm={() => removal.mutate(device.id, { onSuccess: onClose })}
      onClose={onClose}
    >
      It is signed out within a second and approves nothing any more.
    </Confirm>
  );
}
