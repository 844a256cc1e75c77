// What asks for a fresh sign-in is done again after the person has confirmed that it is them.
import { createContext, useContext } from "react";
import { ApiError } from "../../api/errors";

/** Opens the window that asks; true once the person has confirmed, false when they closed it. */
export type Confirmation = () => Promise<boolean>;

/** Does `act`; where the sign-in is too old for it, asks and does it again. */
export async function freshly<T>(act: () => Promise<T>, confirmed: Confirmation): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "insufficient_user_authentication") throw error;
    if (await confirmed()) return act();
    throw new ApiError("Nothing was changed, as you did not confirm that it is you.", {
      status: error.status,
      code: error.code,
      turnId: error.turnId,
    });
  }
}

export const ConfirmationContext = createContext<Confirmation | null>(null);

/** `fresh(() => answer(api.POST(…)))` for every route that may ask for a fresh sign-in. */
export function useFresh(): <T>(act: () => Promise<T>) => Promise<T> {
  const confirmed = useContext(ConfirmationContext);
  if (!confirmed) throw new Error("useFresh is used outside StepUpProvider");
  return (act) => freshly(act, confirmed);
}
