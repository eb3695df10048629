// The page for whoever gives it: its plans fit, and say what the deck says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { assemble } from '../build/deck.js';
import { exerciseMinutes, plansPage, preparation } from '../build/pages.js';
import { clock, minutes, schedule } from '../build/plan.js';
import { dist, open, slides, watched } from './browser.js';

const root = join(slides, '..');
const address = pathToFileURL(join(dist, 'give.html')).href;
const { plan, plans, html, pages } = assemble(root);
const page = pages('style.css')['give.html'];

let browser;
let close;
before(async () => {
  ({ browser, close } = await open());
});
after(() => close?.());

const facts = {
  mains: [{ id: 'title', own: 30 }, { id: 'step-01', own: 70, demo: { command: 'x', seconds: 60, titles: ['a'] } }],
  demoLength: () => 270,
  exerciseMinutes: () => 5,
};

test('a plan is the sum of its parts, and an error if it does not fit', () => {
  const talk = (change) => schedule({ id: 't', minutes: 3, spare: 0, talk: 'demos', ...change }, facts);
  assert.equal(talk({}).seconds, 160);
  assert.equal(talk({ talk: 'slides' }).seconds, 100);
  assert.throws(() => talk({ spare: 1 }), /t takes 2:40, and has 2:00/);
  const day = (parts, length = 60) => schedule({ id: 'd', minutes: length, begin: '9:00', parts }, facts);
  // A slide of 1:10, a demo of 4:30, 5 minutes of exercise, and a minute to change.
  assert.equal(day([{ step: 1, exercises: ['x'] }]).seconds, 12 * 60);
  assert.deepEqual(day([{ step: 1, exercises: ['x'], cut: 1 }]).parts[0].cut, { order: 1, saves: 10 });
  assert.throws(() => day([{ step: 1 }, { pause: 'A break', minutes: 10 }], 15), /d takes 17:00, and has 15:00/);
  assert.throws(() => day([{ slides: ['gone'] }]), /no main slide gone/);
  assert.throws(() => exerciseMinutes(root)('gone'), /no exercise gone/);
  assert.equal(clock('9:50', 25 * 60), '10:15');
});

test("the deck's plan and the page's are one", () => {
  const [short, long] = ['talk-20', 'talk-45'].map((id) => plans.find((one) => one.id === id));
  assert.deepEqual([short.minutes, long.minutes], [20, 45]);
  assert(page.includes(`${minutes(plan.slides)} planned, of 20:00`));
  assert(page.includes(`${minutes(plan.slides + plan.demos)} planned, of 45:00`));
  for (const { demo } of plan.each.filter((one) => one.demo)) {
    assert(page.includes(`<code>${demo.command}</code> <span class="soft">${demo.titles.join(' · ')}`), demo.command);
  }
  assert.deepEqual(plans.map(({ id }) => id), ['talk-20', 'talk-45', 'half-day', 'day']);
});

test('a workshop has every step, exercises, breaks, and says what to cut first', () => {
  for (const { id, parts } of plans.filter((one) => one.parts)) {
    assert.deepEqual(parts.flatMap(({ step = [] }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9], id);
    assert(parts.filter(({ step }) => step).every(({ exercises }) => exercises.length), id);
    assert(parts.filter(({ pause }) => pause).length >= 2, id);
    const cuts = parts.flatMap(({ cut = [] }) => cut).sort();
    assert.deepEqual(cuts, cuts.map((_, at) => at + 1), id);
    assert(cuts.length >= 3, id);
    // Nobody sits through more than two hours.
    const facts2 = { mains: plan.each, demoLength: () => 300, exerciseMinutes: exerciseMinutes(root) };
    const { parts: timed } = schedule(plans.find((one) => one.id === id), facts2);
    timed.reduce((sitting, { seconds, pause }) => {
      if (pause) return 0;
      assert(sitting + seconds <= 2 * 3600, `${id}: ${minutes(sitting + seconds)} without a break`);
      return sitting + seconds;
    }, 0);
  }
});

test('what the page says to type is there', () => {
  const text = page.replace(/<[^>]*>/g, '').replaceAll('&amp;', '&');
  let options = 0;
  for (const [, script, words] of text.matchAll(/\.\/scripts\/([\w-]+\.sh)((?: --?\w[\w-]*| \d+)*)/g)) {
    assert(readdirSync(join(root, 'scripts')).includes(script), script);
    for (const [option] of words.matchAll(/--[\w-]+/g)) {
      const help = execFileSync(join(root, 'scripts', script), ['--help'], { encoding: 'utf8' });
      assert(help.includes(option), `${script} ${option}`);
      options += 1;
    }
  }
  assert(options > 3);
  for (const [, id] of page.matchAll(/href="index\.html#\/([\w-]+)"/g)) assert(html.includes(`<section id="${id}"`), id);
  for (const [, id] of page.matchAll(/href="#([\w-]+)"/g)) assert(page.includes(`id="${id}"`), id);
  assert.match(preparation('https://git.example/you/workshop'), /^git clone https:\/\/git.example\/you\/workshop && cd workshop &&\s+\.\/scripts\/setup\.sh &&/);
});

test('the page is for screen readers, phones and paper', async () => {
  const { page: shown, wrong } = await watched(browser);
  await shown.setViewportSize({ width: 390, height: 844 });
  for (const colorScheme of ['light', 'dark']) {
    await shown.emulateMedia({ colorScheme });
    await shown.goto('about:blank');
    await shown.goto(address);
    assert.equal(await shown.evaluate(() => document.documentElement.scrollWidth), 390, 'it fits');
    assert.deepEqual(wrong, []);
    await shown.addScriptTag({ path: createRequire(import.meta.url).resolve('axe-core/axe.min.js') });
    const serious = await shown.evaluate(async () => (await window.axe.run({ preload: false })).violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes[0].html}`));
    assert.deepEqual(serious, [], colorScheme);
  }
  await shown.close();
});

test('a plan names its cuts in the order of cutting', () => {
  const { plans: tables } = plansPage([{ id: 'd', name: 'D', word: '', minutes: 60, begin: '9:00', parts: [
    { step: 1, exercises: ['x'], cut: 2 }, { step: 1, exercises: ['y'], cut: 1 }] }], facts);
  assert.match(tables, /what to cut, in this order[^]*task y[^]*task x[^]*<\/ol>/i);
});
