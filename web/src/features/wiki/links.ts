// Links between pages: `[[Topic]]` and `[[Topic|shown]]` as Markdown has them, and the topic behind an address.

const MOST = 200;

/** A topic as the server addresses it: lower case, letters and digits of any script, dashes. */
export function slugOf(topic: string): string {
  return topic
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}]+/gu, "-")
    .replace(/^-|-$/g, "");
}

/** Code keeps its brackets. */
export function withPageLinks(content: string): string {
  return content
    .split(/(```[\s\S]*?(?:```|$)|`[^`\n]*`)/)
    .map((part, index) => (index % 2 === 1 ? part : linked(part)))
    .join("");
}

function linked(text: string): string {
  return text.replace(
    /\[\[([^[\]|\n]{1,200})(?:\|([^[\]\n]*))?\]\]/g,
    (whole, topic: string, shown?: string) => {
      const slug = slugOf(topic);
      return slug && slug.length <= MOST ? `[${shown || topic}](wiki:${slug})` : whole;
    },
  );
}

/** The topic that an address names, or null where it leads elsewhere. */
export function topicOf(href: string): string | null {
  const found = /^(?:wiki:|\/wiki\/)([^\s()]+)$/.exec(href)?.[1];
  if (!found) return null;
  try {
    return slugOf(decodeURIComponent(found)) || null;
  } catch {
    // A stray percent sign is no address of a page.
    return null;
  }
}

/** The text without a first heading that only says the page's title again, which stands above it. */
export function withoutTitle(content: string, title: string): string {
  const [, heading] = /^\s*# +(.+?) *#*\r?\n/.exec(content) ?? [];
  return heading === title ? content.replace(/^\s*#.*\r?\n/, "") : content;
}
