// What Markdown becomes on the page, and what it must never become.
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { Markdown } from "./Markdown";

const html = (text: string, streaming = false) =>
  renderToStaticMarkup(<Markdown text={text} streaming={streaming} />);

describe("Markdown", () => {
  test("raw HTML is shown as text", () => {
    const shown = html('<img src=x onerror="alert(1)">\n\nand <script>alert(2)</script> inline');
    expect(shown).not.toMatch(/<img|<script/);
    expect(shown).toContain("&lt;img src=x");
  });

  test.each(["javascript:alert(1)", "data:text/html,x", "vbscript:x", "/v1/auth/logout"])(
    "a link to %s is only its text",
    (href) => {
      expect(html(`[click](${href})`)).toBe('<div class="prose"><p>click</p></div>');
    },
  );

  test("a picture is a link, so that reading an answer calls no one", () => {
    const shown = html("![a cat](https://example.org/cat.png)");
    expect(shown).not.toContain("<img");
    expect(shown).toContain('href="https://example.org/cat.png"');
  });

  test("links leave without a referrer", () => {
    expect(html("<https://example.org>")).toContain('rel="noopener noreferrer nofollow"');
  });

  test("GFM tables, task lists and strikethrough are drawn", () => {
    const shown = html("| a | b |\n|---|--:|\n| 1 | ~~2~~ |\n\n- [x] done\n- [ ] open");
    expect(shown).toContain('<th style="text-align:right">b</th>');
    expect(shown).toContain("<del>2</del>");
    expect(shown.match(/type="checkbox"/g)).toHaveLength(2);
  });

  test("character references are read once", () => {
    expect(html("a &amp;lt; b &#8212; &lt;i&gt;")).toContain("a &amp;lt; b — &lt;i&gt;");
  });

  test("code keeps every character and its language", () => {
    const shown = html('```html\n<b a="1">&amp;</b>\n```');
    expect(shown).toContain("&lt;b a=&quot;1&quot;&gt;&amp;amp;&lt;/b&gt;");
    expect(shown).toContain("html");
  });

  test("an unfinished code block streams as code", () => {
    expect(html("```python\nprint(1", true)).toContain("print(1");
  });
});
