// When something was, in the reader's own way of writing it.

export function dayText(at: string): string {
  return new Date(at).toLocaleDateString(undefined, { dateStyle: "medium" });
}

export function timeText(at: string): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
