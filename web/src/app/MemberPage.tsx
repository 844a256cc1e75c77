// A page beside the chat, for everyone: its heading, its body, and on a phone the button that opens the sidebar.
import { Menu } from "lucide-react";
import { type ReactNode, useEffect } from "react";
import { IconButton } from "../ui/Button";
import { useFrame } from "./frame";

interface MemberPageProps {
  title: string;
  about?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

export function MemberPage({ title, about, actions, children }: MemberPageProps) {
  const { openSidebar } = useFrame();
  useTitle(title);
  return (
    <main id="main" className="h-full overflow-y-auto">
      <div className="flex h-14 items-center px-3 md:hidden">
        <IconButton label="Open sidebar" onClick={openSidebar}>
          <Menu aria-hidden className="size-5" />
        </IconButton>
      </div>
      <div className="mx-auto max-w-4xl px-4 pb-16 sm:px-8 md:pt-8">
        <header className="mb-7 flex flex-wrap items-start gap-x-4 gap-y-3">
          <div className="min-w-0 flex-1 basis-72">
            <h1 className="text-2xl font-semibold tracking-tight">{title}</h1>
            {about && <p className="mt-1 max-w-prose text-pretty text-ink-2">{about}</p>}
          </div>
          {actions && <div className="flex flex-wrap gap-2">{actions}</div>}
        </header>
        {children}
      </div>
    </main>
  );
}

/** Names the browser's tab after the page. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · AIBox`;
  }, [title]);
}
