// Who is signed in, the theme, and the way out.
import { Link } from "@tanstack/react-router";
import { ChartColumn, ChevronsUpDown, LogOut, Monitor, Moon, Settings2, Sun, UserRound } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { cx } from "../../ui/cx";
import { menuContent, menuItem } from "../../ui/menu";
import { setTheme, type Theme, useTheme } from "../../ui/theme";
import { entriesFor } from "../admin/entries";
import { signOut, useMe } from "../auth/session";

const themes = [
  { value: "system", label: "System", icon: Monitor },
  { value: "light", label: "Light", icon: Sun },
  { value: "dark", label: "Dark", icon: Moon },
] as const;

export function AccountMenu() {
  const me = useMe();
  const { user, roles } = me;
  const theme = useTheme();
  const name = user.displayName || user.email;
  return (
    <div className="shrink-0 border-t border-line p-2">
      <DropdownMenu.Root>
        <DropdownMenu.Trigger
          aria-label={`Account of ${name}`}
          className="flex w-full items-center gap-3 rounded-lg px-2 py-1.5 text-left hover:bg-sunken data-[state=open]:bg-sunken"
        >
          <span
            aria-hidden
            className="inline-flex size-8 items-center justify-center rounded-full bg-accent text-sm font-semibold text-accent-ink"
          >
            {initials(name)}
          </span>
          <span className="min-w-0 flex-1 leading-tight">
            <span className="block truncate font-medium">{name}</span>
            <span className="block truncate text-xs text-ink-3">{roles.join(", ")}</span>
          </span>
          <ChevronsUpDown aria-hidden className="size-4 text-ink-3" />
        </DropdownMenu.Trigger>
        <DropdownMenu.Portal>
          <DropdownMenu.Content className={cx(menuContent, "w-64")} side="top" align="start" sideOffset={6}>
            <DropdownMenu.Label className="truncate px-2.5 py-1.5 text-xs text-ink-3">
              {user.email}
            </DropdownMenu.Label>
            <DropdownMenu.RadioGroup
              value={theme}
              onValueChange={(next) => setTheme(next as Theme)}
              aria-label="Theme"
              className="my-1 flex gap-1 rounded-lg bg-sunken p-1"
            >
              {themes.map(({ value, label, icon: Icon }) => (
                <DropdownMenu.RadioItem
                  key={value}
                  value={value}
                  onSelect={(event) => event.preventDefault()}
                  className={cx(
                    "flex h-8 flex-1 cursor-pointer items-center justify-center gap-1.5 rounded-md text-ink-2 outline-none",
                    "data-[highlighted]:ring-2 data-[highlighted]:ring-accent",
                    "data-[state=checked]:bg-surface data-[state=checked]:font-medium data-[state=checked]:text-ink",
                  )}
                >
                  <Icon aria-hidden className="size-3.5" /> {label}
                </DropdownMenu.RadioItem>
              ))}
            </DropdownMenu.RadioGroup>
            <DropdownMenu.Item className={menuItem} asChild>
              <Link to="/usage">
                <ChartColumn aria-hidden className="size-4 text-ink-3" /> Your usage
              </Link>
            </DropdownMenu.Item>
            <DropdownMenu.Item className={menuItem} asChild>
              <Link to="/account">
                <UserRound aria-hidden className="size-4 text-ink-3" /> Your account
              </Link>
            </DropdownMenu.Item>
            {entriesFor(me).length > 0 && (
              <DropdownMenu.Item className={menuItem} asChild>
                <Link to="/admin">
                  <Settings2 aria-hidden className="size-4 text-ink-3" /> Administration
                </Link>
              </DropdownMenu.Item>
            )}
            <DropdownMenu.Item className={menuItem} onSelect={() => void signOut()}>
              <LogOut aria-hidden className="size-4 text-ink-3" /> Sign out
            </DropdownMenu.Item>
          </DropdownMenu.Content>
        </DropdownMenu.Portal>
      </DropdownMenu.Root>
    </div>
  );
}

function initials(name: string): string {
  const words = name.split(/[\s@.]+/).filter(Boolean);
  return [words[0], words.length > 1 ? words.at(-1) : undefined]
    .map((word) => (word ? ([...word][0] ?? "") : ""))
    .join("")
    .toUpperCase();
}
