// Judges a new password while it is typed; the server has the last word.

export const MIN_LENGTH = 8;
export const MAX_LENGTH = 128;

export interface PasswordFeedback {
  acceptable: boolean;
  /** 0 to 1, for the bar. */
  strength: number;
  message: string;
}

export function judgePassword(password: string): PasswordFeedback {
  const length = [...password].length;
  const strength = Math.min(1, length / 20);
  if (length === 0) {
    return {
      acceptable: false,
      strength,
      message: `${MIN_LENGTH} to ${MAX_LENGTH} characters. A few words in a row are best.`,
    };
  }
  if (length < MIN_LENGTH) {
    const missing = MIN_LENGTH - length;
    return {
      acceptable: false,
      strength,
      message: `${missing} more ${missing === 1 ? "character" : "characters"}.`,
    };
  }
  if (length > MAX_LENGTH) {
    return {
      acceptable: false,
      strength: 1,
      message: `${length - MAX_LENGTH} too many: at most ${MAX_LENGTH} characters.`,
    };
  }
  if (length < 14) return { acceptable: true, strength, message: `${length} characters. Longer is safer.` };
  return { acceptable: true, strength, message: `${length} characters. Good.` };
}
