// A titled part of the receipt panel.
import type { ReactNode } from "react";

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h3 className="mb-2 font-semibold tracking-tight">{title}</h3>
      {children}
    </section>
  );
}
