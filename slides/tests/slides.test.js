// Every slide of the built deck, in a real browser without a network.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open, show, walk, watched, web } from './browser.js';
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
    const end = Date.now() + 30_000;
    while (!wrong.some((one) => one.includes(what))) {
      assert(Date.now() < end, `${what}: ${wrong}`);
      await page.waitForTimeout(20);
    }
  }
  await page.close();
});
