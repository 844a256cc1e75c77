// "2 items masked": opens what the model read instead of the person's own data.
import { useQuery } from "@tanstack/react-query";
import { EyeOff } from "lucide-react";
import { useState } from "react";
import { answer, api } from "../../api/client";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { Table, Td, Th } from "../../ui/Table";
import { maskName } from "../guardrail/words";
import type { Step } from "./run";
import { maskedText } from "./words";

export function MaskedButton({ steps, sessionId }: { steps: Step[]; sessionId: string }) {
  const [open, setOpen] = useState(false);
  const text = maskedText(steps);
  if (!text) return null;
  return (
    <>
      <button
        type="button"
        onClick={() => setOpen(true)}
        className="inline-flex items-center gap-1 rounded-md py-0.5 hover:text-ink"
      >
        <EyeOff aria-hidden className="size-3.5" /> {text}
      </button>
      {open && <MaskedDialog sessionId={sessionId} onClose={() => setOpen(false)} />}
    </>
  );
}

function MaskedDialog({ sessionId, onClose }: { sessionId: string; onClose: () => void }) {
  const masked = useQuery({
    queryKey: ["guard", "masked", sessionId],
    queryFn: () => answer(api.GET("/v1/guard/masked", { params: { query: { conversation_id: sessionId } } })),
    // Each message may add to it.
    staleTime: 0,
  });
  return (
    <Modal
      open
      onClose={onClose}
      title="What was masked in this chat"
      description="The model read the tokens. Only you see the values."
    >
      {masked.isPending && <SkeletonRows rows={2} className="h-10" />}
      {masked.error && <Failure error={masked.error} onRetry={() => void masked.refetch()} />}
      {masked.data?.items.length === 0 && (
        <Empty title="Nothing is kept">What was masked held for the turn alone.</Empty>
      )}
      {masked.data && masked.data.items.length > 0 && (
        <Table caption="What was masked">
          <thead>
            <tr>
              <Th>You wrote</Th>
              <Th>The model read</Th>
              <Th>Kind</Th>
            </tr>
          </thead>
          <tbody>
            {masked.data.items.map(({ token, type, value }) => (
              <tr key={token}>
                <Td className="break-all">{value}</Td>
                <Td className="font-mono text-xs">{token}</Td>
                <Td className="text-ink-3">{maskName(type)}</Td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
    </Modal>
  );
}
