// `[1]` and `[1, 2]` in a text become what the page has for a source of that number, and stay text without one.
import { createContext, Fragment, type ReactNode, useContext } from "react";

/** What stands for a source in the text; null where there is no such source. */
export type CitationMark = (n: number) => ReactNode;

export const CitationContext = createContext<CitationMark | null>(null);

// As the server reads them (runtime/steps/resolve.py).
const NAMED = /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/;

export function CitedText({ text }: { text: string }): ReactNode {
  const mark = useContext(CitationContext);
  if (mark === null) return text;
  // Split by one group, every second piece is a group's text.
  return text.split(NAMED).map((piece, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of a text keep their places.
    <Fragment key={index}>{index % 2 === 0 ? piece : marks(piece, mark)}</Fragment>
  ));
}

function marks(numbers: string, mark: CitationMark): ReactNode {
  const found = numbers.split(",").map((number) => mark(Number(number)));
  // A number without a source makes the whole of it a text of its own, such as an index of an array.
  if (found.some((one) => one === null)) return `[${numbers}]`;
  // biome-ignore lint/suspicious/noArrayIndexKey: see above.
  return found.map((one, index) => <Fragment key={index}>{one}</Fragment>);
}
