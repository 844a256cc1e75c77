// One chat in the sidebar, with its menu: rename, pin, delete.
import { Link, useMatchRoute, useNavigate } from "@tanstack/react-router";
import { Ellipsis, Pencil, Pin, PinOff, Trash2 } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { type FormEvent, useState } from "react";
import type { Session } from "../../api/types";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { cx } from "../../ui/cx";
import { Field } from "../../ui/Field";
import { Modal } from "../../ui/Modal";
import { menuContent, menuItem } from "../../ui/menu";
import { Notice } from "../../ui/Notice";
import { titleOf } from "./groups";
import { useChangeSession, useDeleteSession } from "./queries";

export function SessionRow({ session }: { session: Session }) {
  const [opened, setOpened] = useState<"rename" | "delete" | null>(null);
  const change = useChangeSession();
  const active = Boolean(useMatchRoute()({ to: "/c/$sessionId", params: { sessionId: session.sessionId } }));
  const title = titleOf(session);
  return (
    <li
      className={cx(
        "group relative flex items-center rounded-lg",
        active ? "bg-accent-soft" : "hover:bg-sunken has-[[data-state=open]]:bg-sunken",
      )}
    >
      <Link
        to="/c/$sessionId"
        params={{ sessionId: session.sessionId }}
        aria-current={active ? "page" : undefined}
        title={title}
        className="min-w-0 flex-1 truncate rounded-lg py-1.5 pr-9 pl-3"
      >
        {title}
      </Link>
      <DropdownMenu.Root>
        <DropdownMenu.Trigger
          aria-label={`Options for ${title}`}
          className={cx(
            "absolute right-1 inline-flex size-7 items-center justify-center rounded-md text-ink-3 hover:text-ink",
            "opacity-0 group-hover:opacity-100 focus-visible:opacity-100 data-[state=open]:opacity-100",
            "max-md:opacity-100",
            active && "opacity-100",
          )}
        >
          <Ellipsis aria-hidden className="size-4" />
        </DropdownMenu.Trigger>
        <DropdownMenu.Portal>
          <DropdownMenu.Content className={menuContent} align="start" sideOffset={4}>
            <DropdownMenu.Item className={menuItem} onSelect={() => setOpened("rename")}>
              <Pencil aria-hidden className="size-4 text-ink-3" /> Rename
            </DropdownMenu.Item>
            <DropdownMenu.Item
              className={menuItem}
              onSelect={() => change.mutate({ id: session.sessionId, pinned: !session.pinned })}
            >
              {session.pinned ? (
                <PinOff aria-hidden className="size-4 text-ink-3" />
              ) : (
                <Pin aria-hidden className="size-4 text-ink-3" />
              )}
              {session.pinned ? "Unpin" : "Pin"}
            </DropdownMenu.Item>
            <DropdownMenu.Item className={cx(menuItem, "text-danger")} onSelect={() => setOpened("delete")}>
              <Trash2 aria-hidden className="size-4" /> Delete
            </DropdownMenu.Item>
          </DropdownMenu.Content>
        </DropdownMenu.Portal>
      </DropdownMenu.Root>
      {opened === "rename" && <RenameDialog session={session} onClose={() => setOpened(null)} />}
      {opened === "delete" && (
        <DeleteDialog session={session} isOpenChat={active} onClose={() => setOpened(null)} />
      )}
    </li>
  );
}

function RenameDialog({ session, onClose }: { session: Session; onClose: () => void }) {
  const [title, setTitle] = useState(session.title ?? "");
  const change = useChangeSession();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (title.trim()) change.mutate({ id: session.sessionId, title: title.trim() }, { onSuccess: onClose });
  };
  return (
    <Modal open onClose={onClose} title="Rename chat">
      <form onSubmit={submit} className="space-y-4">
        {change.error && <Notice kind="danger">{change.error.message}</Notice>}
        <Field
          label="Title"
          autoFocus
          maxLength={200}
          value={title}
          onFocus={(event) => event.target.select()}
          onChange={(event) => setTitle(event.target.value)}
        />
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={change.isPending} disabled={!title.trim()}>
            Rename
          </Button>
        </div>
      </form>
    </Modal>
  );
}

function DeleteDialog(props: { session: Session; isOpenChat: boolean; onClose: () => void }) {
  const { session, isOpenChat, onClose } = props;
  const deletion = useDeleteSession();
  const navigate = useNavigate();
  const confirm = () =>
    deletion.mutate(session.sessionId, {
      onSuccess: () => {
        onClose();
        if (isOpenChat) void navigate({ to: "/" });
      },
    });
  return (
    <Confirm
      title="Delete this chat?"
      action="Delete"
      busy={deletion.isPending}
      error={deletion.error}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        “{titleOf(session)}” and its messages are removed for good. The receipts of its turns stay in the log:
        they hold no text.
      </p>
    </Confirm>
  );
}
