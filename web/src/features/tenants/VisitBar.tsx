// Above every page while the session is inside another tenant: which one, and the way out.
import { LogOut } from "lucide-react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { type Tenant, useLeave } from "./queries";

export function VisitBar({ tenant }: { tenant: Tenant }) {
  const leave = useLeave();
  return (
    <div
      role="status"
      data-testid="visit"
      className="flex shrink-0 flex-wrap items-center gap-x-4 gap-y-1 border-b border-warn-line bg-warn-soft px-4 py-1.5 text-warn"
    >
      <p className="min-w-0 flex-1 basis-56">
        You are inside <strong className="font-semibold break-words">{tenant.name}</strong> as an owner. Its
        log says so.
      </p>
      <Button look="quiet" className="h-9" busy={leave.isPending} onClick={() => leave.mutate()}>
        <LogOut aria-hidden className="size-4" /> Leave
      </Button>
      {leave.error && <Failure className="basis-full" error={leave.error} />}
    </div>
  );
}
