// Reads the opened artifacts of a receipt that holds, to show them.

export interface Opened {
  /** The number of the event that committed to it. */
  event: number;
  mediaType: string;
  size: number;
  /** Null where it is not text. */
  text: string | null;
}

/** The openings of a receipt that the verifier has accepted, which is why nothing is checked again here. */
export function readOpenings(bytes: Uint8Array): Opened[] {
  const bundle: { openings: { event: number; mt: string; data: string }[] } = JSON.parse(
    new TextDecoder().decode(bytes),
  );
  return bundle.openings.map(({ event, mt, data }) => {
    const content = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    return { event, mediaType: mt, size: content.length, text: textOf(mt, content) };
  });
}

function textOf(mediaType: string, content: Uint8Array): string | null {
  if (!/^(text\/|application\/json)/.test(mediaType)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    // Called text, but none: the bytes are in the file.
    return null;
  }
}
