// One's own account: name, password, second factors, sessions, keys and devices.
import { Menu } from "lucide-react";
import { useEffect } from "react";
import { useFrame } from "../../app/frame";
import { IconButton } from "../../ui/Button";
import { useMe } from "../auth/session";
import { DevicesPanel } from "./DevicesPanel";
import { FactorsPanel } from "./FactorsPanel";
import { KeysPanel } from "./KeysPanel";
import { PasswordPanel } from "./PasswordPanel";
import { ProfilePanel } from "./ProfilePanel";
import { SessionsPanel } from "./SessionsPanel";

export default function AccountPage() {
  const { openSidebar } = useFrame();
  const { user } = useMe();

  useEffect(() => {
    document.title = "Your account · AIBox";
  }, []);

  return (
    <div className="flex h-full flex-col">
      <header className="flex h-14 shrink-0 items-center gap-2 px-3 md:hidden">
        <IconButton label="Open sidebar" onClick={openSidebar}>
          <Menu aria-hidden className="size-5" />
        </IconButton>
      </header>
      <main id="main" className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto max-w-3xl px-4 pt-2 pb-16 sm:px-8 md:pt-8">
          <h1 className="text-2xl font-semibold tracking-tight">Your account</h1>
          <p className="mt-1 mb-7 text-ink-2">{user.email}</p>
          <ProfilePanel />
          <PasswordPanel />
          <FactorsPanel />
          <SessionsPanel />
          <KeysPanel />
          <DevicesPanel />
        </div>
      </main>
    </div>
  );
}
