import { cpSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const SWAGGER_FILES = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "LICENSE", "NOTICE"];

/** The API's documentation page is served without a CDN: its files lie in dist/swagger. */
function swaggerFiles(): Plugin {
  return {
    name: "swagger-files",
    apply: "build",
    closeBundle() {
      const from = join(here, "node_modules", "swagger-ui-dist");
      const to = join(here, "dist", "swagger");
      mkdirSync(to, { recursive: true });
      for (const file of SWAGGER_FILES) cpSync(join(from, file), join(to, file));
    },
  };
}

export default defineConfig({
  root: here,
  base: "./",
  build: {
    target: "es2022",
    // Nothing becomes a data: URI: the page lives under Content-Security-Policy default-src 'self'.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500, // maplibre-gl is one 1.1 MB module, loaded after the alarms are on screen
  },
  worker: { format: "es" },
  server: { proxy: { "/api": "http://127.0.0.1:28080" } },
  plugins: [swaggerFiles()],
});
