// The mark: a box whose lid is a seal.

export function Logo({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" className={className}>
      <path
        d="M16 3.2 27 9v14L16 28.8 5 23V9Z"
        fill="none"
        stroke="var(--accent)"
        strokeWidth="2.4"
        strokeLinejoin="round"
      />
      <path d="M5.4 9.2 16 14.8l10.6-5.6M16 14.8v13.6" fill="none" stroke="var(--accent)" strokeWidth="2.4" />
      <circle cx="16" cy="14.6" r="4.6" fill="var(--seal)" />
      <path
        d="m13.9 14.7 1.5 1.5 2.8-3"
        fill="none"
        stroke="var(--surface)"
        strokeWidth="1.5"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}

export function Wordmark() {
  return (
    <span className="inline-flex items-center gap-2 font-semibold tracking-tight">
      <Logo className="size-6" />
      AIBox
    </span>
  );
}
