// One-time codes as people type and paste them.

export const CODE_LENGTH = 6;

/** The digits of what was typed or pasted, such as `123 456`; no more than a code has. */
export function digitsOf(text: string): string {
  return text.replace(/\D/g, "").slice(0, CODE_LENGTH);
}

/** A secret in groups of four, as one reads it from a screen and types it. */
export function grouped(secret: string): string {
  return secret.match(/.{1,4}/g)?.join(" ") ?? "";
}

/** What is saved of recovery codes: for whom they are, and what they are good for. */
export function codesFile(codes: string[], account: string): string {
  return [
    `Recovery codes of ${account} for AIBox at ${window.location.origin}`,
    "Each one replaces the second factor once. Keep them where you keep your passwords.",
    "",
    ...codes,
    "",
  ].join("\n");
}
