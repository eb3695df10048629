// `npm run look -- DIRECTORY [light|dark] [ID...]`: a picture of each slide, with
// all its fragments, for eyes.
import { join } from 'node:path';
import { open, ready, watched } from './browser.js';

const [directory, theme = 'light', ...ids] = process.argv.slice(2);
const { browser, address, close } = await open();
const { page } = await watched(browser, address);
await page.goto(`${address}?theme=${theme}`);
await ready(page);
const all = await page.$$eval('.slides section[id]', (sections) => sections.map(({ id }) => id));
for (const id of ids.length ? ids : all) {
  await page.evaluate((hash) => { location.hash = `/${hash}`; }, id);
  await page.waitForTimeout(60);
  await page.$$eval('section.present:not(.stack) .fragment', (all) => all.forEach((one) => one.classList.add('visible')));
  await page.waitForTimeout(id.endsWith('demo') ? 2500 : 300);
  await page.screenshot({ path: join(directory, `${theme}-${String(all.indexOf(id)).padStart(2, '0')}-${id}.png`) });
}
await close();
