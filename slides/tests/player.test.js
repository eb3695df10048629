// The player: every state that it shows was measured.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readGivenBack } from '../build/pages.js';
import { dist, open, slides, watched } from './browser.js';

const root = join(slides, '..');
const address = pathToFileURL(join(dist, 'player.html')).href;
const matrix = JSON.parse(readFileSync(join(root, 'steps/attacks/matrix.json'), 'utf8'));
const givenBack = readGivenBack(readFileSync(join(slides, 'given-back.txt'), 'utf8'));

let browser;
let close;
before(async () => {
  ({ browser, close } = await open());
});
after(() => close?.());

const states = (page) => page.$$eval('.attacks li', (all) => all.map(({ dataset }) => [dataset.attack, dataset.is]));
const wall = (page, step) => page.locator('.walls-on button', { hasText: step });
const simple = (is) => (is.startsWith('stopped with') ? 'works' : is);

test('with each wall that is switched on, each attack does what it did in the matrix', async () => {
  const { page, wrong } = await watched(browser);
  await page.goto(address);
  const expected = (column) => matrix.attacks.map(({ attack, cells }) => [attack, simple(cells[column].is)]);
  assert.deepEqual(await states(page), expected('none'));
  for (const column of matrix.columns.slice(1)) {
    await wall(page, column).click();
    assert.deepEqual(await states(page), expected(column), column);
    const works = expected(column).filter(([, is]) => is === 'works').length;
    assert.match(await page.textContent('.sum'), new RegExp(`^Step ${column}: ${works} attacks work,`));
  }
  // Off again: with what stands on it.
  await wall(page, '03').click();
  assert.deepEqual(await states(page), expected('02'));
  assert.deepEqual(await page.$$eval('.walls-on [aria-checked="true"]', (all) => all.map((one) => one.textContent.slice(0, 2))), ['01', '02']);
  await page.goto(`${address}#07`);
  assert.deepEqual(await states(page), expected('07'));
  assert.deepEqual(wrong, []);
  await page.close();
});

test('an option is offered where it was measured, and changes its own attack only', async () => {
  const { page } = await watched(browser);
  let pressed = 0;
  for (const column of matrix.columns) {
    await page.goto('about:blank');
    await page.goto(`${address}#${column}`);
    const before = await states(page);
    const offered = await page.$$eval('.attacks li', (all) => all.map((attack) => {
      const button = attack.querySelector('button');
      return [attack.dataset.attack, button?.checkVisibility() ? button.textContent : ''];
    }));
    const gives = ({ attack, stopped_by: by }) => givenBack.find((one) => one.attack === attack && by.includes(column))?.options;
    const option = (row) => row.cells[column].is.match(/^stopped with (.*)/)?.[1] ?? gives(row) ?? '';
    assert.deepEqual(offered, matrix.attacks.map((row) => [row.attack, option(row)]), column);
    for (const row of matrix.attacks.filter(option)) {
      const button = page.locator(`[data-attack="${row.attack}"] button`);
      await button.click();
      const then = gives(row) ? 'works' : 'stopped';
      assert.deepEqual(await states(page), before.map(([name, state]) => [name, name === row.attack ? then : state]), `${row.attack} with ${option(row)}`);
      await button.click();
      assert.deepEqual(await states(page), before);
      pressed += 1;
    }
  }
  assert(pressed > givenBack.length, `${pressed}`);
  await page.close();
});

test('what is given back lets the attack work today, too', () => {
  execFileSync(join(root, 'scripts/demo.sh'), ['--prepare'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const { stdout, status } = spawnSync(join(root, 'scripts/attacks.sh'), ['--given-back'], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
  const today = Object.fromEntries([...stdout.matchAll(/^(\S+) +(.+?) with ([^:\n]+)/gm)].map(([, attack, is, options]) => [attack, { is, options }]));
  for (const { attack, options } of givenBack) {
    assert.equal(today[attack]?.options, options, attack);
    assert(['works', 'not possible here'].includes(today[attack].is), `${attack}: ${today[attack].is}`);
  }
  const missing = Object.entries(today).filter(([attack, { is }]) => is === 'works' && !givenBack.some((one) => one.attack === attack));
  assert.deepEqual(missing, [], 'measured, and not shown: scripts/attacks.sh --given-back | grep " works with " > slides/given-back.txt');
});

test('the player is for keyboards, phones and screen readers', async () => {
  const { page } = await watched(browser);
  await page.setViewportSize({ width: 390, height: 844 });
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme });
    await page.goto('about:blank');
    await page.goto(`${address}#06`);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, 'it fits');
    await page.addScriptTag({ path: createRequire(import.meta.url).resolve('axe-core/axe.min.js') });
    const serious = await page.evaluate(async () => (await window.axe.run({ preload: false })).violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes[0].html}`));
    assert.deepEqual(serious, [], theme);
  }
  await page.focus('.walls-on button:nth-child(9)');
  await page.keyboard.press('Space');
  assert.match(await page.textContent('.sum'), /^Step 09/);
  await page.close();
});
