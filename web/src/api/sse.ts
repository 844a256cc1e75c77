// Parses a Server-Sent Events stream, however the network has cut it (WHATWG HTML, "Interpreting an event stream").

export interface SseMessage {
  event: string;
  data: string;
  /** The last `id:` seen so far, which the server accepts as `Last-Event-ID`. */
  id: string;
}

/** Feed it chunks in order; it returns the messages that each chunk completes. */
export class SseParser {
  readonly #decoder = new TextDecoder();
  #buffer = "";
  #skipLineFeed = false;
  #event = "";
  #data: string[] = [];
  #id = "";

  push(chunk: Uint8Array): SseMessage[] {
    this.#buffer += this.#decoder.decode(chunk, { stream: true });
    const messages: SseMessage[] = [];
    for (let line = this.#takeLine(); line !== null; line = this.#takeLine()) {
      const message = this.#readLine(line);
      if (message) messages.push(message);
    }
    return messages;
  }

  /** A line ends with LF, CR or CRLF; a CR at the end of a chunk may still be half of a CRLF. */
  #takeLine(): string | null {
    if (this.#skipLineFeed && this.#buffer.length > 0) {
      if (this.#buffer.startsWith("\n")) this.#buffer = this.#buffer.slice(1);
      this.#skipLineFeed = false;
    }
    const end = this.#buffer.search(/[\r\n]/);
    if (end === -1) return null;
    this.#skipLineFeed = this.#buffer[end] === "\r";
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 1);
    return line;
  }

  #readLine(line: string): SseMessage | null {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch(): SseMessage | null {
    const event = this.#event || "message";
    const data = this.#data;
    this.#event = "";
    this.#data = [];
    return data.length === 0 ? null : { event, data: data.join("\n"), id: this.#id };
  }
}
