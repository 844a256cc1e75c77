// The frame of the signed-in app: the sidebar (a drawer on a phone), the page, and the windows any page can open.
import { Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { Dialog } from "radix-ui";
import { useEffect, useMemo, useState } from "react";
import { mayAdmin } from "../features/admin/entries";
import { StepUpProvider } from "../features/auth/StepUp";
import { useMe } from "../features/auth/session";
import { AddProviderDialog } from "../features/chat/AddProviderDialog";
import { CommandPalette } from "../features/palette/CommandPalette";
import { Sidebar } from "../features/sessions/Sidebar";
import { VisitBar } from "../features/tenants/VisitBar";
import { useFocusBack } from "../ui/useFocusBack";
import { FrameContext } from "./frame";

export function AppFrame() {
  const [drawer, setDrawer] = useState(false);
  const giveBack = useFocusBack(drawer);
  const [palette, setPalette] = useState(false);
  const [providerHelp, setProviderHelp] = useState(false);
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const me = useMe();
  const mayAddProviders = mayAdmin(me, "manage_providers");
  // The administration brings a navigation of its own.
  const inAdmin = /^\/admin(\/|$)/.test(pathname);
  const inChat = pathname === "/" || pathname.startsWith("/c/");

  // biome-ignore lint/correctness/useExhaustiveDependencies: the drawer closes whenever the page changes.
  useEffect(() => setDrawer(false), [pathname]);

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (
        (event.ctrlKey || event.metaKey) &&
        event.key.toLowerCase() === "k" &&
        !event.altKey &&
        !event.shiftKey
      ) {
        event.preventDefault();
        setPalette((open) => !open);
      }
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);

  const frame = useMemo(
    () => ({
      openSidebar: () => setDrawer(true),
      openPalette: () => {
        setDrawer(false);
        setPalette(true);
      },
      openProviderHelp: () => {
        if (mayAddProviders) void navigate({ to: "/admin/inference" });
        else setProviderHelp(true);
      },
    }),
    [mayAddProviders, navigate],
  );

  return (
    <FrameContext value={frame}>
      <a
        href={inChat ? "#composer" : "#main"}
        className="sr-only z-50 rounded-lg bg-accent px-4 py-2 text-accent-ink focus:not-sr-only focus:fixed focus:top-3 focus:left-3"
      >
        {inChat ? "Skip to the message box" : "Skip to the page"}
      </a>
      <div className="flex h-dvh flex-col">
        {me.visiting && <VisitBar tenant={me.visiting} />}
        <div className="flex min-h-0 flex-1">
          {!inAdmin && (
            <div className="hidden w-72 shrink-0 border-r border-line md:block">
              <Sidebar />
            </div>
          )}
          <div className="min-w-0 flex-1">
            <StepUpProvider>
              <Outlet />
            </StepUpProvider>
          </div>
        </div>
      </div>
      <Dialog.Root open={drawer} onOpenChange={setDrawer}>
        <Dialog.Portal>
          <Dialog.Overlay className="overlay fixed inset-0 z-30 bg-(--scrim) md:hidden" />
          <Dialog.Content
            aria-describedby={undefined}
            onCloseAutoFocus={giveBack}
            className="from-left fixed inset-y-0 left-0 z-40 w-[85vw] max-w-80 border-r border-line bg-bg shadow-raised outline-none md:hidden"
          >
            <Dialog.Title className="sr-only">Chats</Dialog.Title>
            <Sidebar onLeave={() => setDrawer(false)} />
          </Dialog.Content>
        </Dialog.Portal>
      </Dialog.Root>
      <CommandPalette open={palette} onOpenChange={setPalette} />
      <AddProviderDialog open={providerHelp} onClose={() => setProviderHelp(false)} />
    </FrameContext>
  );
}
