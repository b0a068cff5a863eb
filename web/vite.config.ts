import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The gateway that `npm run dev` passes the API on to.
const gateway = process.env.SLUICE_GATEWAY ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../server/sluiceway_server/gateway/web",
    emptyOutDir: true,
    // The policy of the gateway allows no `data:` URL and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: {
    proxy: Object.fromEntries(["/api", "/session", "/docs", "/openapi.json"].map((path) => [path, gateway])),
  },
});
