// A real browser without a network, and the built deck in it.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { findChromium } from '../build/chromium.js';

export const slides = fileURLToPath(new URL('..', import.meta.url));
export const dist = join(slides, 'dist');
export const file = pathToFileURL(join(dist, 'index.html')).href;
// Not a real server: requests for this path are answered from dist/, and
// everything else is refused.
export const web = 'http://slides.invalid/some/path/';

// How long something may take that happens at once on a machine with nothing else
// to do, in milliseconds: nothing here measures how busy it is.
export const PATIENCE = 120_000;

// With `local`, servers of 127.0.0.1 are reached as well.
export async function open({ local = false } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'slides-'));
  const forget = () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium(),
    headless: true,
    timeout: PATIENCE,
    viewport: { width: 1280, height: 720 },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', `--host-resolver-rules=MAP * ~NOTFOUND${local ? ', EXCLUDE 127.0.0.1' : ''}`],
  }).catch((error) => {
    forget();
    throw error;
  });
  browser.setDefaultTimeout(PATIENCE);
  await browser.route(/^https?:/, (route) => {
    const url = new URL(route.request().url());
    if (local && url.hostname === '127.0.0.1') return route.continue();
    if (!url.href.startsWith(web)) return route.abort();
    const name = url.pathname.slice(new URL(web).pathname.length) || 'index.html';
    const path = join(dist, decodeURIComponent(name));
    return route.fulfill(existsSync(path) ? { path } : { status: 404 });
  });
  const close = async () => {
    await browser.close();
    forget();
  };
  return { browser, close };
}

// A page, and what goes wrong in it: errors, and requests that fail.
export async function watched(browser) {
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
  return { page, wrong };
}

// Opens the deck at a slide, with nothing moving.
export async function show(page, address, { query = '', id = '' } = {}) {
  await page.goto('about:blank');
  await page.goto(`${address}${query}${id && `#/${id}`}`);
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  await page.addStyleTag({ content: '*, *::before, *::after { transition: none !important; animation: none !important }' });
}

// Where we are: a slide, and how much of it is shown.
export const place = (page) => page.evaluate(() => {
  const slide = document.querySelector('section.present:not(.stack)');
  return { id: slide.id, fragments: slide.querySelectorAll('.fragment.visible').length };
});

export const arrives = (page, id) => page.waitForFunction(
  (wanted) => document.querySelector('section.present:not(.stack)')?.id === wanted, id);

// All slides and all their fragments: down through the details, then on.
export async function* walk(page) {
  let here = await place(page);
  for (;;) {
    yield here;
    await page.keyboard.press('ArrowDown');
    let next = await place(page);
    if (next.id === here.id && next.fragments === here.fragments) {
      await page.keyboard.press('Space');
      next = await place(page);
    }
    if (next.id === here.id && next.fragments === here.fragments) return;
    here = next;
  }
}
