// A drawn QR code is read back from its path, pixel by pixel.
import decodeQR from "qr/decode.js";
import { expect, test } from "vitest";
import { qrPath } from "./QrCode";

test.each([
  "https://box.example/pair#code=BCDF-GHJK",
  "otpauth://totp/AIBox:ada%40example.org?secret=ABC234&issuer=AIBox",
])("%s is read back from the drawing", (text) => {
  const { path, size } = qrPath(text);
  const scale = 4;
  const width = size * scale;
  const data = new Uint8Array(width * width * 3).fill(255);
  for (const [, x, y] of path.matchAll(/M(\d+) (\d+)/g)) {
    for (let dy = 0; dy < scale; dy++) {
      const start = ((Number(y) * scale + dy) * width + Number(x) * scale) * 3;
      data.fill(0, start, start + scale * 3);
    }
  }
  expect(decodeQR({ width, height: width, data })).toBe(text);
});
