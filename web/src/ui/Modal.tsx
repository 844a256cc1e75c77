// Windows over the page: a dialog in the middle, a sheet from the right. Radix keeps the focus inside; we give it back.
import { X } from "lucide-react";
import { Dialog } from "radix-ui";
import type { ReactNode } from "react";
import { IconButton } from "./Button";
import { cx } from "./cx";
import { useFocusBack } from "./useFocusBack";

export interface ModalProps {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: string;
  children: ReactNode;
  shape?: "dialog" | "sheet";
  className?: string;
}

const shapes = {
  dialog: "pop inset-x-4 top-[6dvh] mx-auto max-h-[88dvh] max-w-lg rounded-2xl border border-line",
  sheet: "from-right inset-y-0 right-0 w-full max-w-md border-line sm:border-l",
};

export function Modal({
  open,
  onClose,
  title,
  description,
  children,
  shape = "dialog",
  className,
}: ModalProps) {
  const giveBack = useFocusBack(open);
  return (
    <Dialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay fixed inset-0 z-40 bg-(--scrim)" />
        <Dialog.Content
          onCloseAutoFocus={giveBack}
          {...(description ? {} : { "aria-describedby": undefined })}
          className={cx(
            "fixed z-50 flex flex-col overflow-hidden bg-bg shadow-raised outline-none",
            shapes[shape],
            className,
          )}
        >
          <header className="flex items-start gap-3 px-5 pt-4 pb-3">
            <div className="min-w-0 flex-1">
              <Dialog.Title className="text-lg wrap-anywhere font-semibold tracking-tight">
                {title}
              </Dialog.Title>
              {description && (
                <Dialog.Description className="mt-0.5 text-sm wrap-anywhere text-ink-2">
                  {description}
                </Dialog.Description>
              )}
            </div>
            <Dialog.Close asChild>
              <IconButton label="Close" className="-mr-1.5">
                <X aria-hidden className="size-4.5" />
              </IconButton>
            </Dialog.Close>
          </header>
          <div className="min-h-0 flex-1 overflow-y-auto px-5 pb-5">{children}</div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
