// What the frame offers the pages inside it.
import { createContext, useContext } from "react";

export interface Frame {
  openSidebar: () => void;
  openPalette: () => void;
  openProviderHelp: () => void;
}

export const FrameContext = createContext<Frame | null>(null);

export function useFrame(): Frame {
  const frame = useContext(FrameContext);
  if (!frame) throw new Error("useFrame is used outside AppFrame");
  return frame;
}
