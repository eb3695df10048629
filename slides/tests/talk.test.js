// What a talk does to the deck: windows are resized, clickers clicked, the clock
// looked at, and somebody in the room opens it on a phone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { arrives, open, place, show, watched, web } from './browser.js';

let browser;
let close;
let mains;
let details;
before(async () => {
  ({ browser, close } = await open());
  const { page } = await watched(browser);
  await show(page, web);
  const stacks = await page.$$eval('.slides > section', (all) => all.map((stack) => [...stack.children].map(({ id }) => id)));
  mains = stacks.map(([main]) => main);
  details = stacks.flatMap(([, ...rest]) => rest);
  await page.close();
});
after(() => close?.());

// Where each label of a slide's picture is, in the picture's own pixels.
const labels = (target, id) => target.evaluate((slide) => {
  const svg = document.querySelector(`#${slide} .picture svg`);
  const frame = svg.getBoundingClientRect();
  const scale = frame.width / svg.getAttribute('width');
  return [...svg.querySelectorAll('text')].filter((text) => text.textContent.trim()).map((text) => {
    const range = document.createRange();
    range.selectNodeContents(text);
    const { left, right } = range.getBoundingClientRect();
    return { text: text.textContent, left: (left - frame.left) / scale, right: (right - frame.left) / scale };
  });
}, id);

function inPlace(now, then, where) {
  const moved = now.filter(({ left, right }, at) => Math.abs(left - then[at].left) > 2 || Math.abs(right - then[at].right) > 2);
  assert.deepEqual(moved.map(({ text }) => text), [], `labels that are elsewhere ${where}`);
}

test('labels stay in their places after a resize, in the overview and in the speaker view', async () => {
  const { page } = await watched(browser);
  await show(page, web, { id: 'history' });
  const [notes] = await Promise.all([page.waitForEvent('popup'), page.keyboard.press('s')]);
  const then = await labels(page, 'history');
  assert(then.length > 10 && then.every(({ left, right }) => right > left));
  for (const [width, height] of [[1920, 1080], [900, 600], [500, 300], [1280, 720]]) {
    await page.setViewportSize({ width, height });
    await page.waitForFunction((wanted) => Math.abs(document.querySelector('#history').getBoundingClientRect().width / wanted - 1) < 0.05,
      Math.min(width, (height * 16) / 9));
    inPlace(await labels(page, 'history'), then, `at ${width}×${height}`);
  }
  await page.keyboard.press('o');
  await page.waitForSelector('.reveal.overview');
  inPlace(await labels(page, 'history'), then, 'in the overview');
  const small = await page.$eval('#history', (slide) => slide.getBoundingClientRect().width);
  await page.setViewportSize({ width: 1920, height: 1080 });
  await page.waitForFunction((width) => document.querySelector('#history').getBoundingClientRect().width > 1.3 * width, small);
  inPlace(await labels(page, 'history'), then, 'in the overview of a larger window');
  const frame = await (await notes.waitForSelector('#current-slide iframe')).contentFrame();
  await frame.waitForSelector('#history.present', { state: 'attached' });
  await frame.waitForFunction(() => document.fonts.check('20px Inter') && document.querySelector('#history').getBoundingClientRect().width > 50);
  for (const [width, height] of [[1600, 1000], [700, 500]]) {
    const before = await frame.evaluate(() => innerWidth);
    await notes.setViewportSize({ width, height });
    await frame.waitForFunction((was) => Math.abs(innerWidth - was) > 50
      && Math.abs(document.querySelector('#history').getBoundingClientRect().width / Math.min(innerWidth, (innerHeight * 16) / 9) - 1) < 0.05, before);
    inPlace(await labels(frame, 'history'), then, `in the speaker's preview at ${width}×${height}`);
  }
  await notes.close();
  await page.close();
});

test('a phone that is held upright shows the slide', async () => {
  const { page } = await watched(browser);
  await page.setViewportSize({ width: 390, height: 844 });
  for (const id of ['title', 'step-03']) {
    await show(page, web, { id });
    const seen = await page.evaluate(() => {
      const heading = document.querySelector('section.present:not(.stack) :is(h1, h2)');
      if (!heading) return 'no slide is there';
      const { left, right, top, bottom, width } = heading.getBoundingClientRect();
      const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
      const on = left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight && width > 50;
      return on && heading.contains(there) ? 'the heading' : `${heading.textContent} at ${left},${top}`;
    });
    assert.equal(seen, 'the heading', id);
    const { width } = await page.locator(`#${id}`).boundingBox();
    assert(width > 370, `${id} is ${width} pixels wide`);
  }
  await page.close();
});

test('the room is asked before each verdict, and sees only one of both', async () => {
  const { page } = await watched(browser);
  for (const id of mains.filter((one) => one.startsWith('step-'))) {
    await show(page, web, { id });
    const places = () => page.$$eval('section.present:not(.stack) .guess', (all) => all.map((guess) => [...guess.querySelectorAll('.ask, .output')]
      .filter((one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true })).map(({ classList }) => classList[0]).join()));
    const seen = [];
    for (let click = 0; click < 4; click += 1) {
      seen.push(await places());
      await page.keyboard.press('PageDown');
    }
    assert.deepEqual(seen, [['ask', ''], ['output', ''], ['output', 'ask'], ['output', 'output']], id);
    for (const asked of await page.locator(`#${id} .ask`).allTextContents()) assert.match(asked, /^Your guess\? .+\?$/, id);
  }
  await page.close();
});

test('a part of a command has the colour of its step in the wall', async () => {
  const { page } = await watched(browser);
  for (const id of ['by-hand', 'command']) {
    await show(page, web, { id });
    const parts = await page.$$eval('section.present:not(.stack) .of i', (all) => all.map((one) => [one.textContent, getComputedStyle(one).backgroundColor]));
    const bricks = Object.fromEntries(await page.$$eval('section.present:not(.stack) .brick', (all) => all.map((one) => [one.textContent, getComputedStyle(one.firstChild).fill])));
    assert.equal(new Set(Object.values(bricks)).size, 9, 'nine colours');
    assert(new Set(parts.map(([step]) => step)).size >= 6, `${parts}`);
    for (const [step, colour] of parts) assert.equal(colour, bricks[step], `${id}, ${step}`);
  }
  await page.close();
});

// What a clicker sends, and the space bar.
for (const [forth, back] of [['PageDown', 'PageUp'], ['Space', 'Shift+Space'], ['ArrowRight', 'ArrowLeft']]) {
  test(`${forth} and ${back} go along the main line, and through what appears there`, async () => {
    const { page } = await watched(browser);
    await show(page, web);
    let at = await place(page);
    const click = async (key) => {
      const from = at;
      await page.keyboard.press(key);
      at = await place(page);
      return { ...at, moved: at.id !== from.id || at.fragments !== from.fragments };
    };
    const seen = ['title'];
    for (let here = await click(forth); here.moved; here = await click(forth)) {
      if (here.id !== seen.at(-1)) seen.push(here.id);
      assert(seen.length <= mains.length, `it leads into ${seen.at(-1)}`);
    }
    assert.deepEqual(seen, mains);
    for (let here = await click(back); here.moved; here = await click(back)) {
      if (here.id !== seen.at(-1)) seen.push(here.id);
    }
    assert.deepEqual(seen, [...mains, ...mains.toReversed().slice(1)]);
    await page.close();
  });
}

test('out of a detail, a clicker leads back to the main line', async () => {
  const { page } = await watched(browser);
  assert(details.includes('step-03-code'));
  for (const [key, ids] of [['PageDown', ['step-04', 'step-05']], ['PageUp', ['step-03', 'step-02']]]) {
    await show(page, web, { id: 'step-03-code' });
    const seen = [];
    for (let press = 0; press < 20 && seen.at(-1) !== ids[1]; press += 1) {
      await page.keyboard.press(key);
      const { id } = await place(page);
      if (id !== 'step-03-code' && id !== seen.at(-1)) seen.push(id);
    }
    assert.deepEqual(seen, ids, key);
  }
  // Once seen, a detail does not stand in the way for ever after.
  await show(page, web, { id: 'step-03-code' });
  await page.keyboard.press('Alt+ArrowRight');
  await arrives(page, 'step-04');
  await page.keyboard.press('Alt+ArrowLeft');
  await arrives(page, 'step-03');
  await page.close();
});

test("the speaker's clock says whether the talk is ahead of its plan", async () => {
  const { page } = await watched(browser);
  await show(page, web, { id: 'title' });
  const [notes] = await Promise.all([page.waitForEvent('popup'), page.keyboard.press('s')]);
  const pacing = async () => {
    const [hours, minutes, seconds] = await notes.$$eval('.pacing span:not(.mute-sign)', (all) => all.map(({ textContent }) => Number(textContent.replace(':', ''))));
    return 3600 * hours + 60 * minutes + seconds;
  };
  await notes.waitForSelector('.pacing.on-track');
  const at = mains.indexOf('plan');
  const plan = await page.$$eval('.slides section[data-timing]', (all) => all.map(({ id, dataset }) => [id, Number(dataset.timing)]));
  const end = plan.findIndex(([id]) => id === mains[at]);
  const planned = plan.slice(0, end + 1).reduce((sum, [, time]) => sum + time, 0);
  await page.evaluate((id) => { location.hash = `/${id}`; }, mains[at]);
  await arrives(page, mains[at]);
  await notes.waitForFunction((title) => document.querySelector('.speaker-controls-notes').textContent.includes(title), 'rhythm');
  await notes.waitForTimeout(1500);
  const ahead = await pacing();
  assert(planned > 300 && Math.abs(ahead - planned) < 60, `${ahead} s ahead, of ${planned} planned`);
  await notes.close();
  await page.close();
});
