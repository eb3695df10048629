import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { deck, opensAsFile } from './build/deck.js';

const root = fileURLToPath(new URL('..', import.meta.url));

export default defineConfig({
  base: './',
  plugins: [deck(root), opensAsFile()],
  build: {
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    // Fonts as well: a page opened as a file may not load them.
    assetsInlineLimit: 1_000_000,
    chunkSizeWarningLimit: 3_000,
    rollupOptions: { output: { format: 'iife' } },
  },
});
