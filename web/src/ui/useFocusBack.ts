// Gives the focus back to where it was before a window opened: Radix does so only for windows with a trigger of their own.
import { useState } from "react";

/** What a window does when it has closed. Whoever took the focus meanwhile, such as the page that it led to, keeps it. */
export function useFocusBack(open: boolean): (event: Event) => void {
  const [wasOpen, setWasOpen] = useState(false);
  const [before, setBefore] = useState<HTMLElement | null>(null);
  if (open !== wasOpen) {
    setWasOpen(open);
    // Asked while rendering: a field of the window with autoFocus has it before any effect runs.
    if (open) setBefore(focused());
  }
  return (event) => {
    event.preventDefault();
    if (document.activeElement === document.body) before?.focus();
  };
}

/** What has the focus; where that is an entry of a menu, which goes when it is chosen, the button that opened the menu. */
function focused(): HTMLElement | null {
  const now = document.activeElement;
  const menuButton = now?.closest("[role=menu]")?.getAttribute("aria-labelledby");
  if (menuButton) return document.getElementById(menuButton);
  return now instanceof HTMLElement ? now : null;
}
