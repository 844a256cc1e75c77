// Ctrl+K: every command, page and chat by name, without the mouse (WAI-ARIA combobox with a list box).
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import {
  ChartColumn,
  LogOut,
  MessageSquare,
  Monitor,
  Moon,
  Plug,
  Search,
  SquarePen,
  Sun,
  UserRound,
} from "lucide-react";
import { Dialog } from "radix-ui";
import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { useFrame } from "../../app/frame";
import { cx } from "../../ui/cx";
import { setTheme } from "../../ui/theme";
import { useFocusBack } from "../../ui/useFocusBack";
import { entriesFor } from "../admin/entries";
import { may } from "../auth/may";
import { signOut, useMe } from "../auth/session";
import { titleOf } from "../sessions/groups";
import { places } from "../sessions/places";
import { sessionsQuery } from "../sessions/queries";

interface Command {
  id: string;
  label: string;
  icon: ReactNode;
  run: () => void;
}

export function CommandPalette({
  open,
  onOpenChange,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
}) {
  const giveBack = useFocusBack(open);
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay fixed inset-0 z-40 bg-(--scrim)" />
        <Dialog.Content
          aria-describedby={undefined}
          onCloseAutoFocus={giveBack}
          className="pop fixed inset-x-4 top-[12vh] z-50 mx-auto flex max-h-[70vh] max-w-xl flex-col overflow-hidden rounded-2xl border border-line bg-surface shadow-raised outline-none"
        >
          <Dialog.Title className="sr-only">Command palette</Dialog.Title>
          <Palette onDone={() => onOpenChange(false)} />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Palette({ onDone }: { onDone: () => void }) {
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const groups = useCommands(text.trim());
  const all = groups.flatMap((group) => group.commands);
  const current = all[Math.min(active, all.length - 1)];

  // biome-ignore lint/correctness/useExhaustiveDependencies: the chosen option is kept in sight when it changes.
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [current?.id]);

  const choose = (command: Command) => {
    onDone();
    command.run();
  };

  const pressed = (event: KeyboardEvent) => {
    const last = all.length - 1;
    const at = Math.min(active, last);
    if (event.key === "ArrowDown") setActive(at >= last ? 0 : at + 1);
    else if (event.key === "ArrowUp") setActive(at <= 0 ? last : at - 1);
    else if (event.key === "Home") setActive(0);
    else if (event.key === "End") setActive(last);
    else if (event.key === "Enter" && current && !event.nativeEvent.isComposing) choose(current);
    else return;
    event.preventDefault();
  };

  return (
    <>
      <div className="flex items-center gap-3 border-b border-line px-4">
        <Search aria-hidden className="size-4.5 text-ink-3" />
        <input
          // biome-ignore lint/a11y/noAutofocus: the palette is opened to type into it.
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls={`${id}-list`}
          aria-activedescendant={current ? `${id}-${current.id}` : undefined}
          aria-label="Search commands, pages and chats"
          placeholder="Search commands, pages and chats"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setActive(0);
          }}
          onKeyDown={pressed}
          className="h-13 flex-1 bg-transparent text-base outline-none placeholder:text-ink-3"
        />
        <kbd className="rounded border border-line px-1.5 py-0.5 font-sans text-xs text-ink-3">Esc</kbd>
      </div>
      <div ref={list} id={`${id}-list`} role="listbox" aria-label="Results" className="overflow-y-auto p-2">
        {all.length === 0 && <p className="px-3 py-6 text-center text-ink-3">Nothing matches.</p>}
        {groups.map(({ heading, commands }) => (
          // biome-ignore lint/a11y/useSemanticElements: a group of options has no element of its own.
          <div key={heading} role="group" aria-label={heading}>
            <p aria-hidden className="px-3 pt-2 pb-1 text-xs font-medium text-ink-3">
              {heading}
            </p>
            {commands.map((command) => (
              // biome-ignore lint/a11y/useKeyWithClickEvents: keys go to the input, which names the active option.
              <div
                key={command.id}
                id={`${id}-${command.id}`}
                role="option"
                tabIndex={-1}
                aria-selected={command === current}
                onClick={() => choose(command)}
                onMouseMove={() => setActive(all.indexOf(command))}
                className={cx(
                  "flex h-10 items-center gap-3 rounded-lg px-3",
                  command === current && "bg-accent-soft",
                )}
              >
                <span aria-hidden className="text-ink-3">
                  {command.icon}
                </span>
                <span className="truncate">{command.label}</span>
              </div>
            ))}
          </div>
        ))}
      </div>
    </>
  );
}

function useCommands(search: string): { heading: string; commands: Command[] }[] {
  const navigate = useNavigate();
  const { openProviderHelp } = useFrame();
  const chats = useInfiniteQuery(sessionsQuery(search)).data?.pages.flatMap((page) => page.sessions) ?? [];
  const icon = "size-4";
  const commands: Command[] = [
    {
      id: "new",
      label: "New chat",
      icon: <SquarePen className={icon} />,
      run: () => void navigate({ to: "/" }),
    },
    { id: "light", label: "Theme: light", icon: <Sun className={icon} />, run: () => setTheme("light") },
    { id: "dark", label: "Theme: dark", icon: <Moon className={icon} />, run: () => setTheme("dark") },
    {
      id: "system",
      label: "Theme: as the system",
      icon: <Monitor className={icon} />,
      run: () => setTheme("system"),
    },
    { id: "provider", label: "Add a provider", icon: <Plug className={icon} />, run: openProviderHelp },
    { id: "out", label: "Sign out", icon: <LogOut className={icon} />, run: () => void signOut() },
  ];
  const pages = usePages();
  const wanted = search.toLowerCase();
  const fitting = (from: Command[]) => from.filter(({ label }) => label.toLowerCase().includes(wanted));
  const groups = [
    { heading: "Commands", commands: fitting(commands) },
    // Before anything is typed they would stand between the commands and the chats.
    { heading: "Pages", commands: wanted === "" ? [] : fitting(pages) },
    {
      heading: "Chats",
      commands: chats.slice(0, 20).map((chat) => ({
        id: `chat-${chat.sessionId}`,
        label: titleOf(chat),
        icon: <MessageSquare className={icon} />,
        run: () => void navigate({ to: "/c/$sessionId", params: { sessionId: chat.sessionId } }),
      })),
    },
  ];
  return groups.filter((group) => group.commands.length > 0);
}

/** The pages that this person may open. */
function usePages(): Command[] {
  const me = useMe();
  const navigate = useNavigate();
  const pages = [
    ...(may(me, "memory", "read_own") ? places : []),
    { to: "/account", label: "Your account", icon: UserRound },
    { to: "/usage", label: "Your usage", icon: ChartColumn },
    ...entriesFor(me).map((entry) => ({ ...entry, label: `Administration: ${entry.label}` })),
  ];
  return pages.map(({ to, label, icon: Icon }) => ({
    id: `page-${to}`,
    label,
    icon: <Icon className="size-4" />,
    run: () => void navigate({ to }),
  }));
}
