// A new chat: a greeting and three things to try.
import { ArrowUpRight } from "lucide-react";
import { Logo } from "../../ui/Logo";
import { useMe } from "../auth/session";

const examples = [
  {
    title: "Explain something",
    prompt: "Explain in three sentences what a hash function is, for a curious child.",
  },
  { title: "Write some code", prompt: "Write a Python function that tells whether a word is a palindrome." },
  { title: "See masking at work", prompt: "Write a short thank-you note to ada@example.com for her visit." },
];

export function EmptyState({ onPick }: { onPick: (prompt: string) => void }) {
  const { user } = useMe();
  const first = user.displayName.split(/\s+/)[0];
  return (
    <div className="flex min-h-full flex-col justify-center py-3 sm:py-10">
      <Logo className="size-9 sm:size-11" />
      <h1 className="mt-4 text-2xl font-semibold tracking-tight text-balance sm:text-[1.75rem]">
        {first ? `Hello ${first}, what` : "What"} would you like to know?
      </h1>
      <p className="mt-2 max-w-prose text-ink-2">
        Every answer comes with a receipt: a signed record of the turn that you can check right here in your
        browser.
      </p>
      <ul className="mt-5 grid sm:mt-7 gap-2.5 sm:grid-cols-3">
        {examples.map(({ title, prompt }) => (
          <li key={title}>
            <button
              type="button"
              onClick={() => onPick(prompt)}
              className="group flex h-full w-full flex-col rounded-xl border border-line bg-surface px-4 py-3 text-left transition-colors hover:border-line-strong"
            >
              <span className="flex items-center justify-between text-[0.8125rem] font-medium text-accent">
                {title}
                <ArrowUpRight aria-hidden className="size-4 text-ink-3 group-hover:text-accent" />
              </span>
              <span className="mt-1 text-sm leading-snug text-ink-2">{prompt}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
