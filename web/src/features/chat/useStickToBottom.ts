// Follows a growing answer, until the reader scrolls up; then it leaves the page where the reader is.
import { useCallback, useEffect, useRef, useState } from "react";

const NEAR_PX = 48;

/** `follow` is false for a page that is read from its top. */
export function useStickToBottom<T extends HTMLElement>(follow: boolean) {
  const viewport = useRef<T>(null);
  const content = useRef<HTMLDivElement>(null);
  const following = useRef(follow);
  const [away, setAway] = useState(false);

  const toBottom = useCallback((behavior: ScrollBehavior = "auto") => {
    following.current = true;
    setAway(false);
    viewport.current?.scrollTo({ top: viewport.current.scrollHeight, behavior });
  }, []);

  useEffect(() => {
    const box = viewport.current;
    const inner = content.current;
    if (!box || !inner) return;
    let lastTop = box.scrollTop;
    const scrolled = () => {
      const distance = box.scrollHeight - box.clientHeight - box.scrollTop;
      if (distance < NEAR_PX) following.current = true;
      else if (box.scrollTop < lastTop - 1) following.current = false;
      lastTop = box.scrollTop;
      setAway(!following.current);
    };
    const grown = new ResizeObserver(() => {
      if (following.current) box.scrollTop = box.scrollHeight;
    });
    box.addEventListener("scroll", scrolled, { passive: true });
    grown.observe(inner);
    grown.observe(box);
    return () => {
      box.removeEventListener("scroll", scrolled);
      grown.disconnect();
    };
  }, []);

  return { viewport, content, away, toBottom };
}
