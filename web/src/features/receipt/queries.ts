// A receipt's state (asked again while it is open) and its check.
import { queryOptions } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import { ApiError } from "../../api/errors";
import type { Receipt } from "../../api/types";
import { checkReceipt } from "./check";

const ASK_AGAIN_MS = 1000;
const ASK_AT_MOST = 7;

/**
 * `known` is what the stream said; the server is asked only while that is not final, ever less often. Of older turns
 * nothing is asked before the reader opens the receipt: a long chat would be a hundred requests.
 */
export function receiptQuery(turnId: string, known: Receipt | null) {
  return queryOptions({
    queryKey: ["receipt", turnId],
    queryFn: () => answer(api.GET("/v1/receipts/{turn_id}", { params: { path: { turn_id: turnId } } })),
    initialData: known ?? undefined,
    enabled: known?.state === "open",
    refetchInterval: ({ state }) =>
      state.data?.state === "open" && state.dataUpdateCount < ASK_AT_MOST
        ? ASK_AGAIN_MS * 2 ** state.dataUpdateCount
        : false,
  });
}

export function checkQuery(turnId: string) {
  return queryOptions({
    queryKey: ["receipt-check", turnId],
    queryFn: () => checkReceipt(turnId, localStorage),
    staleTime: Number.POSITIVE_INFINITY,
    // The seal follows the answer within moments.
    retry: (failures, error) => error instanceof ApiError && error.code === "not_sealed" && failures < 8,
    retryDelay: 1000,
  });
}
