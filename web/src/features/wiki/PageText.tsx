// A page's Markdown, in which links to other pages lead to them.
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Markdown, PageLinkContext } from "../markdown/Markdown";
import { topicOf, withPageLinks } from "./links";

export function PageText({ content }: { content: string }) {
  return (
    <PageLinkContext value={pageLink}>
      <Markdown text={withPageLinks(content)} />
    </PageLinkContext>
  );
}

function pageLink(href: string, content: ReactNode): ReactNode {
  const topic = topicOf(href);
  return topic === null ? null : (
    <Link to="/wiki/$topic" params={{ topic }}>
      {content}
    </Link>
  );
}
