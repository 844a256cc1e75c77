// Lines of JSON that arrive one after the other, such as the progress of a check.
import { noticeRefusal, origin } from "../../api/client";
import { readError, unreachable } from "../../api/errors";
import { LineParser } from "./lineParser";

/** Each line as it comes. A body that is cut ends in an error, for a check that broke off has found nothing. */
export async function* readLines<T>(path: string, signal: AbortSignal): AsyncGenerator<T> {
  let response: Response;
  try {
    response = await fetch(origin + path, { credentials: "same-origin", signal });
  } catch (error) {
    // fetch rejects when there was no answer at all, and when we left.
    if (signal.aborted) throw error;
    throw unreachable();
  }
  if (!response.ok) {
    const refusal = await readError(response);
    noticeRefusal(refusal);
    throw refusal;
  }
  const lines = new LineParser();
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    for (const line of lines.push(decoder.decode(value, { stream: !done }))) yield JSON.parse(line) as T;
    if (done) return;
  }
}
