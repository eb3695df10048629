// `npm run look -- DIRECTORY [light|dark] [ID...]`: a picture of each slide, with
// all its fragments, for eyes.
import { join } from 'node:path';
import { open, show, watched, web } from './browser.js';

const [directory, theme = 'light', ...ids] = process.argv.slice(2);
const { browser, close } = await open();
const { page } = await watched(browser);
await show(page, web);
const all = await page.$$eval('.slides section[id]', (sections) => sections.map(({ id }) => id));
for (const id of ids.length ? ids : all) {
  await show(page, web, { query: `?theme=${theme}`, id });
  await page.$$eval('section.present:not(.stack) .fragment', (fragments) => fragments.forEach((one) => one.classList.add('visible')));
  await page.waitForTimeout(id.endsWith('demo') ? 2500 : 0);
  await page.screenshot({ path: join(directory, `${theme}-${String(all.indexOf(id)).padStart(2, '0')}-${id}.png`) });
}
await close();
