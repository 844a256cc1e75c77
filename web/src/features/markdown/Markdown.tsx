// Shows Markdown as React elements. Raw HTML stays text, so nothing a model writes can run, load or track.
import { lexer, type MarkedToken, type Token, type Tokens } from "marked";
import { createContext, createElement, Fragment, memo, type ReactNode, useContext, useMemo } from "react";
import { CodeBlock } from "./CodeBlock";
import { CitedText } from "./citations";
import { decodeEntities } from "./entities";
import { heal } from "./heal";

/** Where a text may lead into this app, as a page of the wiki does: its own link, or null where the address is none. */
export const PageLinkContext = createContext<((href: string, content: ReactNode) => ReactNode) | null>(null);

export function Markdown({ text, streaming = false }: { text: string; streaming?: boolean }) {
  const blocks = useMemo(() => lexer(streaming ? heal(text) : text), [text, streaming]);
  return (
    <div className={streaming ? "prose writing" : "prose"}>
      {blocks.map((token, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: an answer only grows; its blocks keep their places.
        <Block key={index} token={token} />
      ))}
    </div>
  );
}

/** A block whose source has not changed is not drawn again. */
const Block = memo(
  ({ token }: { token: Token }) => <>{block(token as MarkedToken)}</>,
  (before, after) => before.token.raw === after.token.raw,
);

function block(token: MarkedToken): ReactNode {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      return createElement(`h${token.depth}`, null, inline(token.tokens));
    case "paragraph":
      return <p>{inline(token.tokens)}</p>;
    case "text":
      return token.tokens ? inline(token.tokens) : <CitedText text={decodeEntities(token.text)} />;
    case "html":
      return <p className="whitespace-pre-wrap">{token.text.trimEnd()}</p>;
    case "hr":
      return <hr />;
    case "blockquote":
      return <blockquote className="prose">{blocks(token.tokens)}</blockquote>;
    case "code":
      return <CodeBlock code={token.text} language={(token.lang ?? "").split(/\s/)[0] ?? ""} />;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    default:
      return inlineToken(token);
  }
}

function blocks(tokens: Token[]): ReactNode {
  // biome-ignore lint/suspicious/noArrayIndexKey: see above.
  return tokens.map((token, index) => <Fragment key={index}>{block(token as MarkedToken)}</Fragment>);
}

function list(token: Tokens.List): ReactNode {
  const items = token.items.map((item, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: see above.
    <li key={index}>{blocks(item.tokens)}</li>
  ));
  return token.ordered ? <ol start={token.start || 1}>{items}</ol> : <ul>{items}</ul>;
}

function table(token: Tokens.Table): ReactNode {
  const cell = (Tag: "th" | "td", content: Tokens.TableCell, index: number) => (
    <Tag key={index} style={content.align ? { textAlign: content.align } : undefined}>
      {inline(content.tokens)}
    </Tag>
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled with the arrow keys.
    <section className="table-scroll" tabIndex={0} aria-label="Table">
      <table>
        <thead>
          <tr>{token.header.map((content, index) => cell("th", content, index))}</tr>
        </thead>
        <tbody>
          {token.rows.map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: see above.
            <tr key={index}>{row.map((content, column) => cell("td", content, column))}</tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function inline(tokens: Token[]): ReactNode {
  return tokens.map((token, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: see above.
    <Fragment key={index}>{inlineToken(token as MarkedToken)}</Fragment>
  ));
}

function inlineToken(token: MarkedToken): ReactNode {
  switch (token.type) {
    case "text":
      return token.tokens ? inline(token.tokens) : <CitedText text={decodeEntities(token.text)} />;
    case "escape":
      return token.text;
    case "strong":
      return <strong>{inline(token.tokens)}</strong>;
    case "em":
      return <em>{inline(token.tokens)}</em>;
    case "del":
      return <del>{inline(token.tokens)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "link":
      return link(token.href, inline(token.tokens));
    case "image":
      // A picture from elsewhere would tell its server who reads this; a link leaves that to the reader.
      return link(token.href, token.text || "image");
    case "checkbox":
      return (
        <>
          <input
            type="checkbox"
            checked={token.checked}
            readOnly
            disabled
            className="mr-1.5 align-[-0.1em]"
          />{" "}
        </>
      );
    default:
      // HTML, and whatever else a later version of the parser may know: as it was written.
      return token.raw;
  }
}

function link(href: string, content: ReactNode): ReactNode {
  return <SafeLink href={href}>{content}</SafeLink>;
}

function SafeLink({ href, children: content }: { href: string; children: ReactNode }): ReactNode {
  const page = useContext(PageLinkContext)?.(href, content);
  if (page) return page;
  if (!isSafe(href)) return content;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {content}
    </a>
  );
}

function isSafe(href: string): boolean {
  try {
    return ["http:", "https:", "mailto:"].includes(new URL(href).protocol);
  } catch {
    // A relative address would lead into this app, which the model knows nothing of.
    return false;
  }
}
