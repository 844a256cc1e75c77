// What the signed-in person's roles allow, as /me tells it.
import { isRecord } from "../../api/errors";
import type { Me } from "../../api/types";

export function may({ permissions }: Me, area: string, name: string): boolean {
  const granted: unknown = (permissions as Record<string, unknown>)[area];
  return isRecord(granted) && granted[name] === true;
}
