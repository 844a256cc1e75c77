// A QR code, drawn as one path: dark on white in both themes, for cameras read it so.
import encodeQR from "qr";
import { useMemo } from "react";
import { cx } from "./cx";

interface QrCodeProps {
  text: string;
  /** What the code is, for those who cannot see it. */
  label: string;
  className?: string;
}

export function QrCode({ text, label, className }: QrCodeProps) {
  const { path, size } = useMemo(() => qrPath(text), [text]);
  return (
    <svg
      viewBox={`0 0 ${size} ${size}`}
      role="img"
      aria-label={label}
      shapeRendering="crispEdges"
      className={cx("rounded-lg bg-white", className)}
    >
      <path d={path} fill="#000" />
    </svg>
  );
}

/** The dark squares as a path in a square of `size` units, the quiet zone of four included. */
export function qrPath(text: string): { path: string; size: number } {
  const rows = encodeQR(text, "raw", { ecc: "medium", border: 4 });
  const path = rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return { path, size: rows.length };
}
