// A real browser without a network, and the deck in it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { preview } from 'vite';

export const slides = fileURLToPath(new URL('..', import.meta.url));

export const SIZES = [[1280, 720], [1920, 1080], [1024, 768]].map(([width, height]) => ({ width, height }));

// What the page may ask: the server of the deck, and nobody else.
export async function open() {
  const server = await preview({ root: slides, configFile: join(slides, 'vite.config.js'), preview: { host: '127.0.0.1', port: 0 }, logLevel: 'error' });
  const address = `http://127.0.0.1:${server.httpServer.address().port}/`;
  const profile = mkdtempSync(join(tmpdir(), 'slides-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: SIZES[0],
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'],
  });
  const close = async () => {
    await browser.close();
    await server.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { browser, address, close };
}

// A page that tells what went wrong in it: errors, and requests to elsewhere or
// without an answer.
export async function watched(browser, address) {
  const page = await browser.newPage();
  const wrong = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) wrong.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('requestfailed', (request) => wrong.push(`failed: ${request.url()}`));
  page.on('response', (response) => {
    if (response.status() >= 400) wrong.push(`${response.status()}: ${response.url()}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!/^(data|blob|about):/.test(url) && !url.startsWith(address)) wrong.push(`elsewhere: ${url}`);
  });
  return { page, wrong };
}

export const ready = (page) => page.waitForSelector('html[data-ready]', { state: 'attached' });
