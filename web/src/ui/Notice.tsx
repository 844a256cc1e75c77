// A framed message inside the page: something to know, to mind, or that went wrong.
import { CircleAlert, Info, TriangleAlert } from "lucide-react";
import type { ComponentProps, ReactNode } from "react";
import { cx } from "./cx";

const kinds = {
  info: { icon: Info, look: "border-line bg-surface text-ink-2", mark: "text-accent" },
  warn: { icon: TriangleAlert, look: "border-warn-line bg-warn-soft text-warn", mark: "text-warn" },
  danger: { icon: CircleAlert, look: "border-danger-line bg-danger-soft text-danger", mark: "text-danger" },
};

type NoticeProps = ComponentProps<"div"> & { kind: keyof typeof kinds; title?: string; children?: ReactNode };

export function Notice({ kind, title, children, className, ...rest }: NoticeProps) {
  const { icon: Icon, look, mark } = kinds[kind];
  return (
    <div
      role={kind === "danger" ? "alert" : undefined}
      {...rest}
      className={cx("flex gap-3 rounded-xl border px-4 py-3", look, className)}
    >
      <Icon aria-hidden className={cx("mt-0.5 size-4.5 shrink-0", mark)} />
      <div className="min-w-0 flex-1">
        {title && <p className="font-semibold">{title}</p>}
        {children}
      </div>
    </div>
  );
}
