// Builds the web app into the folder the gateway serves, and sends API calls of `npm run dev` to a running AIBox.
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const server = process.env.AIBOX_URL ?? "http://localhost:8080";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: {
    outDir: "../aibox/gateway/static",
    emptyOutDir: true,
    target: "es2022",
    // The Content-Security-Policy has no data: in script-src, font-src or connect-src: inline nothing.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The largest file is a grammar that only a block of C++ fetches.
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "/v1": server, "/docs": server, "/healthz": server } },
  test: { environment: "node", include: ["src/**/*.test.{ts,tsx}"] },
});
