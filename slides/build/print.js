// `node build/print.js FILE`: prints the built deck with Debian's chromium.
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { findChromium } from './chromium.js';

const deck = pathToFileURL(fileURLToPath(new URL('../dist/index.html', import.meta.url))).href;
const browser = await chromium.launch({
  executablePath: findChromium(),
  // Chromium makes a sandbox for itself, but not for root.
  chromiumSandbox: process.getuid() !== 0,
  args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  await page.goto(`${deck}?print-pdf`);
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  await page.pdf({ path: process.argv[2], preferCSSPageSize: true, printBackground: true });
} finally {
  await browser.close();
}
