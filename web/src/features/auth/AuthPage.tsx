// The frame of the two pages before the chat: the mark, a card, and what AIBox promises.
import { type ReactNode, useEffect } from "react";
import { Wordmark } from "../../ui/Logo";

export function AuthPage({
  title,
  children,
  aside,
}: {
  title: string;
  children: ReactNode;
  aside?: ReactNode;
}) {
  useEffect(() => {
    document.title = `${title} · AIBox`;
  }, [title]);
  return (
    <main className="flex min-h-full flex-col items-center justify-center px-4 py-10">
      <div className="w-full max-w-md">
        <div className="mb-6 flex justify-center text-xl">
          <Wordmark />
        </div>
        <section className="rounded-2xl border border-line bg-surface px-6 py-7 shadow-raised sm:px-8">
          <h1 className="text-xl font-semibold tracking-tight">{title}</h1>
          {children}
        </section>
        {aside && <div className="mt-5 text-center text-sm text-ink-3">{aside}</div>}
      </div>
    </main>
  );
}
