// Every slide of the built deck, in a real browser without a network.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PATIENCE, open, show, slides, walk, watched, web } from './browser.js';
import { inspect } from './inspect.js';

const SIZES = [[1280, 720], [1920, 1080], [1024, 768]];

let browser;
let close;
let ids;
before(async () => {
  ({ browser, close } = await open());
  const { page } = await watched(browser);
  await show(page, web);
  ids = await page.$$eval('.slides section:not(.stack)', (all) => all.map(({ id }) => id));
  await page.close();
});
after(() => close?.());

for (const [[width, height], theme] of [...SIZES.map((size) => [size, 'light']), [SIZES[0], 'dark']]) {
  test(`every slide and every fragment at ${width}×${height}, ${theme}`, async () => {
    const { page, wrong } = await watched(browser);
    await page.setViewportSize({ width, height });
    await show(page, web, { query: `?theme=${theme}` });
    const seen = new Set();
    let fragments = 0;
    for await (const here of walk(page)) {
      seen.add(here.id);
      fragments += here.fragments > 0;
      wrong.push(...await page.evaluate(inspect, { contrast: width === 1280 }));
    }
    assert.deepEqual([...seen], ids, 'the keys that go on lead to every slide');
    assert.equal(fragments, await page.$$eval('.slides section:not(.stack)', (all) => all.reduce(
      (sum, slide) => sum + new Set([...slide.querySelectorAll('.fragment')].map((one) => one.dataset.fragmentIndex)).size, 0)));
    assert.deepEqual([...new Set(wrong)], []);
    await page.close();
  });
}

test('the process in the container stands within its wall', async () => {
  const { page } = await watched(browser);
  await show(page, web, { query: '?print-pdf' });
  const stands = await page.$$eval('section:not(.stack)[id^="step-0"] > .picture svg', (pictures) => pictures.flatMap((svg) => {
    const walls = [...svg.querySelectorAll('.walls')].map((wall) => wall.getBBox());
    return [...svg.querySelectorAll('.proc')].filter(({ nextElementSibling: name }) => name?.textContent === 'sh').map((one) => {
      const { x, y, width, height } = one.getBBox();
      const within = walls.some((wall) => x > wall.x && y > wall.y && x + width < wall.x + wall.width && y + height < wall.y + wall.height);
      return [svg.closest('section').id, within];
    });
  }));
  assert(stands.length >= 6, 'there are such pictures');
  assert.deepEqual(stands.filter(([id, within]) => !within && /^step-\d\d$/.test(id)), []);
  await page.close();
});

test('every slide on paper', async () => {
  const { page, wrong } = await watched(browser);
  await show(page, web, { query: '?print-pdf', id: 'step-01-demo' });
  for (const id of ids) wrong.push(...await page.evaluate(inspect, { contrast: false, id }));
  assert.equal(await page.locator('.ap-wrapper').count(), 0, 'nothing plays on paper');
  assert.deepEqual(wrong, []);
  await page.close();
});

test("with the browser's own key for printing, too: each slide as it is at its end", async () => {
  const { page } = await watched(browser);
  await show(page, web, { id: 'step-04' });
  await page.emulateMedia({ media: 'print' });
  const [gone, there] = await page.evaluate(() => ['.fragment.fade-out', '.fragment:not(.fade-out)'].map((kind) => [...document.querySelectorAll(kind)]
    .filter((one) => !one.parentElement.closest('.fade-out')).map((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }))));
  assert(gone.length > 20 && there.length > 100);
  assert(!gone.includes(true), 'what has gone is seen');
  assert(!there.includes(false), 'what has come is not seen');
  await page.close();
});

// What each slide is about stands on it, for whoever sees it: not in its notes, not
// in a label, not hidden.
const ABOUT = {
  title: 'chroot uts pid mount user cgroup overlay net caps',
  what: 'process namespaces root cgroup ids capabilities seccomp LSM',
  vm: 'hypervisor hardware kernel devices',
  history: '1979 chroot jails zones OpenVZ capabilities pivot_root seccomp overlayfs cgroup LXC docker Kubernetes OCI runc',
  namespaces: 'mnt uts ipc pid net user cgroup time clone unshare setns',
  'step-06-trees': 'memory.limit_in_bytes memory.max cgroup.subtree_control',
  'step-09': 'capabilities seccomp no_new_privs',
  'step-09-lsm': 'AppArmor SELinux Landlock',
  'by-hand': 'unshare pivot_root chroot pids.max overlay --no-new-privs',
  command: 'docker run 09-least-privilege --hostname --cap-drop -p',
  images: 'manifest config layer tag',
  ecosystem: 'docker dockerd containerd shim runc crun youki podman conmon CRI-O kubelet Kubernetes OCI',
  'ecosystem-specs': 'OCI distribution image runtime CNI',
  system: 'LXC LXD Incus systemd-nspawn',
  runtime: 'bundle rootfs config.json create door start shim engine',
  next: 'exercises lessons user_namespaces(7)',
};

test('what a slide is about can be read on it', async () => {
  const { page } = await watched(browser);
  await show(page, web, { query: '?print-pdf' });
  const read = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.slides section[id]:not(.stack)')].map((slide) => {
    const words = [];
    const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const { parentElement: element, data } = walker.currentNode;
      if (!element.closest('aside.notes, .unseen') && element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) words.push(data);
    }
    return [slide.id, words.join(' ')];
  })));
  const missing = Object.entries(ABOUT).flatMap(([id, words]) => words.split(' ').filter((word) => !read[id].includes(word)).map((word) => `${id}: ${word}`));
  assert.deepEqual(missing, []);
  await page.close();
});

test('code is lit step by step, and the rest of it steps back', async () => {
  const { page } = await watched(browser);
  await show(page, web, { id: 'step-02-code' });
  const lit = () => page.$$eval('section.present:not(.stack) .line', (lines) => {
    const colours = (line) => new Set([...line.querySelectorAll('span')].filter((one) => one.textContent.trim()).map((one) => getComputedStyle(one).color));
    const groups = Object.groupBy(lines.filter((line) => line.textContent.trim()), (line) => (getComputedStyle(line).backgroundColor === 'rgba(0, 0, 0, 0)' ? 'plain' : 'lit'));
    return { lit: (groups.lit ?? []).map((line) => line.textContent.trim()), colours: groups.plain.reduce((all, line) => all.union(colours(line)), new Set()).size };
  });
  const all = [await lit()];
  for (let step = 0; step < 2; step += 1) {
    await page.keyboard.press('ArrowDown');
    all.push(await lit());
  }
  assert.deepEqual(all.map((one) => one.lit), [[], ['CloneFlags::CLONE_NEWUTS'], ['|| sethostname(name),']]);
  assert(all[0].colours > 3, 'code has colours');
  assert.deepEqual(all.slice(1).map((one) => one.colours), [1, 1], 'all that is not lit has one');
  await page.close();
});

// What stands on a slide, with the colours in which it is seen.
const look = async (evaluate, ...given) => {
  const { page } = await watched(browser);
  await show(page, web, { query: '?print-pdf' });
  const seen = await page.evaluate(evaluate, ...given);
  await page.close();
  return seen;
};

test('each step is attacked before and after by the same program, in the same way, and the verdicts differ', async () => {
  const [steps, colours] = await look(() => {
    const colour = (name) => {
      const probe = Object.assign(document.body.appendChild(document.createElement('i')), { style: `color: var(--${name})` });
      return getComputedStyle(probe).color;
    };
    return [[...document.querySelectorAll('section[id^="step-0"][data-demo]')].map((slide) => [slide.id, [...slide.querySelectorAll('.output')].map((one) => {
      const verdict = [...one.querySelectorAll('pre .word')].find(({ textContent }) => /^(WORKED|STOPPED)$/.test(textContent));
      return { label: one.querySelector('figcaption').innerText, typed: one.querySelector('.typed').innerText, verdict: verdict?.innerText, colour: verdict && getComputedStyle(verdict).color };
    })]), { WORKED: colour('attack'), STOPPED: colour('safe') }];
  });
  assert.equal(steps.length, 9);
  for (const [id, outputs] of steps) {
    const step = Number(id.slice(5));
    assert.deepEqual(outputs.map(({ label, verdict, colour }) => [label, verdict, colour]), [['before', 'WORKED', colours.WORKED], ['after', 'STOPPED', colours.STOPPED]], id);
    const [[before, was], [after, is]] = outputs.map(({ typed }) => typed.match(/^(?:(\d\d)-\S+ .*)?(attack .*)$/)?.slice(1) ?? [step, typed]);
    assert.equal(is, was, id);
    assert.deepEqual([Number(before ?? 0), Number(after)], [step - 1, step], id);
  }
});

test('the wall grows by a brick with each step, is whole after the last one, and stays to the end', async () => {
  const walls = await look(() => [...document.querySelectorAll('.slides section:not(.stack)')].map((slide) => [slide.id, [...slide.querySelectorAll('header .wall .brick')].map((brick) => {
    const { fill, strokeDasharray } = getComputedStyle(brick.querySelector('rect'));
    return strokeDasharray === 'none' ? fill : 'open';
  })]));
  const wall = Object.fromEntries(walls);
  for (let step = 1; step <= 9; step += 1) {
    const bricks = wall[`step-0${step}`];
    assert.deepEqual(bricks.map((brick) => brick === 'open'), Array.from({ length: 9 }, (_, at) => at >= step), `step ${step}`);
    assert(new Set(bricks.slice(0, step - 1)).size <= 1 && !bricks.slice(0, step - 1).includes(bricks[step - 1]), `the new brick of step ${step}`);
  }
  for (const id of ['by-hand', 'command', 'images', 'ecosystem', 'next']) {
    assert.equal(wall[id].filter((brick) => brick !== 'open').length, 9, id);
  }
});

test('each cell of the matrix looks as its key says, and is that of the attacks', async () => {
  const matrix = JSON.parse(readFileSync(join(slides, '../steps/attacks/matrix.json'), 'utf8'));
  const [key, cells] = await look(() => {
    const looks = (one) => (({ backgroundImage, backgroundColor, borderStyle, borderColor }) => [backgroundImage, backgroundColor, borderStyle, borderColor].join())(getComputedStyle(one));
    return [Object.fromEntries([...document.querySelectorAll('.key div')].map((one) => [looks(one.firstElementChild), one.innerText.trim()])),
      [...document.querySelectorAll('.matrix tbody tr')].flatMap((row) => [...row.querySelectorAll('td')].map((cell) => [row.querySelector('th').innerText, cell.querySelector('.unseen').textContent, looks(cell.querySelector('[aria-hidden]'))]))];
  });
  assert.equal(Object.keys(key).length, 4, 'four kinds that differ');
  const word = (is) => (is.startsWith('stopped with ') ? 'with an option' : { works: 'works', stopped: 'stopped' }[is] ?? 'not applicable');
  const expected = matrix.attacks.flatMap(({ attack, cells: of }) => matrix.columns.map((column) => [attack, of[column].is, word(of[column].is)]));
  assert.deepEqual(cells.map(([attack, said, looks]) => [attack, said.replace(/^[^:]*: /, ''), key[looks]]), expected);
});

// A test that can't fail says nothing: each of these is seen.
const BROKEN = {
  'outside of the slide': (slide) => { slide.querySelector('h2').style.marginLeft = '1000px'; },
  'over "': (slide) => { slide.querySelector('.picture text').setAttribute('y', slide.querySelectorAll('.picture text')[1].getAttribute('y')); slide.querySelector('.picture text').setAttribute('x', slide.querySelectorAll('.picture text')[1].getAttribute('x')); },
  'a block over another': (slide) => { slide.querySelector('.verdicts').style.marginTop = '-300px'; },
  'letters of 15.0 px': (slide) => { slide.querySelector('h2').style.fontSize = '15px'; },
  contrast: (slide) => { slide.querySelector('h2').style.color = '#bbb'; },
  'through a wall': (slide) => { slide.querySelector('.walls').classList.add('visible'); },
  'broken inside a word': (slide) => { Object.assign(slide.querySelector('.output .word:nth-child(2)').style, { whiteSpace: 'normal', display: 'inline-block', width: '7ch' }); },
  'letters of 22.0 px': (slide) => { slide.querySelector('.picture .l').style.fontSize = '22px'; },
  'too small': (slide) => { Object.assign(slide.querySelector('.output').style, { height: '20px', overflow: 'hidden' }); },
  'nothing to read': (slide) => { slide.innerHTML = ''; },
};
for (const [what, make] of Object.entries(BROKEN)) {
  test(`a broken slide is seen: ${what}`, async () => {
    const { page } = await watched(browser);
    await show(page, web, { id: 'step-01' });
    await page.keyboard.press('Space');
    assert.deepEqual(await page.evaluate(inspect, { contrast: true }), []);
    await page.$eval('section.present:not(.stack)', make);
    const wrong = await page.evaluate(inspect, { contrast: true });
    assert(wrong.some((one) => one.includes(what)), `not seen; instead: ${wrong}`);
    await page.close();
  });
}

test('a broken page is seen: an error, a missing asset, a request to elsewhere', async () => {
  const { page, wrong } = await watched(browser);
  await show(page, web);
  await page.evaluate(async () => {
    setTimeout(() => { throw new Error('broken'); });
    await fetch('https://example.org/').catch(() => {});
    const picture = new Image();
    picture.src = 'missing.png';
    await new Promise((resolve) => { picture.onerror = resolve; });
  });
  for (const what of ['error: broken', 'failed: https://example.org/', 'missing.png']) {
    const end = Date.now() + PATIENCE;
    while (!wrong.some((one) => one.includes(what))) {
      assert(Date.now() < end, `${what}: ${wrong}`);
      await page.waitForTimeout(20);
    }
  }
  await page.close();
});
