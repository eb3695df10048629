// The terminal beside a slide: it plays the demos, and no page but the deck gets in.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { PATIENCE, arrives, file, open, show, slides, watched, web } from './browser.js';

const live = await begin();
let browser;
let close;
before(async () => {
  ({ browser, close } = await open({ local: true }));
});
// Whatever a claim leaves open, the next one begins without a terminal.
afterEach(async () => {
  for (const page of browser.pages()) await page.close();
  if (live.server.exitCode === null) await nothingPlays();
});
after(async () => {
  await close?.();
  await live.end();
});

// Starts `present.sh --live`, and knows its last link.
async function begin() {
  const server = spawn(join(slides, '../scripts/present.sh'), ['--live'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  let said = '';
  const links = () => said.match(/http:\/\/\S+/g) ?? [];
  server.stdout.on('data', (data) => { said += data; });
  const ended = once(server, 'exit');
  while (!links().length) {
    assert.equal(server.exitCode, null, 'present.sh --live has ended');
    await Promise.race([once(server.stdout, 'data'), ended]);
  }
  const { origin, host, port } = new URL(links()[0]);
  return {
    origin, host, port, server,
    link: () => links().at(-1),
    // What it has started: the demo that plays, if any.
    children: () => readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim(),
    end: async () => {
      if (server.exitCode === null && server.signalCode === null) process.kill(server.pid, 'SIGTERM');
      await ended;
    },
  };
}

async function until(what, holds, patience = PATIENCE) {
  for (const end = Date.now() + patience; !await holds();) {
    assert(Date.now() < end, `not within ${patience / 1000} s: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}
const nothingPlays = () => until('nothing plays any more', () => live.children() === '');

// The status that somebody gets who is no browser, and sends what they like.
function ask({ method = 'GET', path = '/', headers = {}, body = '' }) {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: live.port, method, path, headers });
    asked.on('response', (response) => resolve(response.resume().statusCode));
    asked.on('upgrade', (response, socket) => resolve(socket.destroy() && response.statusCode));
    asked.on('error', reject);
    asked.end(body);
  });
}
const UPGRADE = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': 13, 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
const terminal = (headers) => ask({ path: '/terminal', headers: { ...UPGRADE, ...headers } });

// The deck, let in by its link.
async function enter(id = '') {
  const { page, wrong } = await watched(browser);
  await page.goto(live.link());
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  await page.waitForSelector('.live-opener', { state: 'attached' });
  if (id) await go(page, id);
  return { page, wrong };
}
async function go(page, id) {
  await page.evaluate((hash) => { location.hash = `/${hash}`; }, id);
  await arrives(page, id);
}

// The first scene of a slide's demo in the talk, as its heading says it.
const heading = async (page) => {
  const scene = await page.$eval('section.present:not(.stack)', ({ dataset }) => parseInt(dataset.scenes, 10));
  return new RegExp(` · ${scene}/\\d ·`);
};

// What its screen shows; a line that was wrapped is one line.
const screen = (page) => page.evaluate(() => {
  const buffer = document.querySelector('.live-panel')?.terminal.buffer.active;
  const lines = [];
  for (let at = 0; at < (buffer?.length ?? 0); at += 1) {
    const line = buffer.getLine(at);
    if (line.isWrapped) lines[lines.length - 1] += line.translateToString(true);
    else lines.push(line.translateToString(true));
  }
  return lines.join('\n').trim();
});
// What of it is meant, as soon as it is there.
async function shows(page, what) {
  let match;
  await until(`${what}`, async () => { match = (await screen(page)).match(what); return match; })
    .catch(async (error) => assert.fail(`${error.message}\n${await screen(page)}`));
  return match;
}

async function openShell(page) {
  await page.keyboard.press('F9');
  await shows(page, /\? keys/);
  await shows(page, /# \S+/);
  await page.keyboard.press('s');
  await shows(page, /Your shell[^]*:\S+# $|Your shell[^]*#$/);
}
async function type(page, command) {
  await page.keyboard.insertText(command);
  await page.keyboard.press('Enter');
}

test('only who names our origin, with its port, may ask for a terminal', async () => {
  assert.equal(await terminal({ origin: live.origin }), 101, 'the deck may');
  assert.equal(await terminal({}), 403, 'no Origin');
  const others = ['null', 'http://evil.example', `http://evil.example:${live.port}`, `https://${live.host}`, 'http://127.0.0.1',
    `http://127.0.0.1:${live.port - 1}`, `http://localhost:${live.port}`, `${live.origin}/`, `${live.origin}.evil.example`];
  for (const origin of others) {
    assert.equal(await terminal({ origin }), 403, origin);
    assert.equal(await ask({ method: 'POST', path: '/token', headers: { origin }, body: new URL(live.link()).hash.slice(6) }), 403, origin);
  }
  assert.equal(await ask({ method: 'POST', path: '/token', body: new URL(live.link()).hash.slice(6) }), 403, 'the link, and no Origin');
});

test('a name that leads here is not ours: there is one Host', async () => {
  for (const host of ['evil.example', `evil.example:${live.port}`, `localhost:${live.port}`, '127.0.0.1', `127.0.0.1:${live.port - 1}`]) {
    assert.equal(await ask({ headers: { host } }), 421, host);
    assert.equal(await terminal({ host, origin: live.origin }), 421, host);
  }
  assert.equal(await ask({}), 200);
});

test('it listens on the loopback alone, and its port is not known beforehand', async () => {
  assert.match(live.host, /^127\.0\.0\.1:\d+$/);
  assert(Number(live.port) > 1024 && live.port !== '4173');
  const reached = await new Promise((resolve) => {
    // Of the loopback, too; a server of all addresses has it.
    const socket = connect(live.port, '127.0.0.2', () => resolve(socket.destroy() && 'reached'));
    socket.on('error', ({ code }) => resolve(code));
  });
  assert.equal(reached, 'ECONNREFUSED');
});

test('no request names a file', async () => {
  for (const path of ['/../package.json', '/%2e%2e/package.json', '//etc/passwd', '/assets/../../package.json', '/assets']) {
    assert.equal(await ask({ path }), 404, path);
  }
});

test('what runs is a demo, for who has the token', async () => {
  const { page } = await enter('step-03');
  const farewell = (...messages) => page.evaluate((all) => new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}/terminal`);
    socket.onopen = () => all.forEach((message) => socket.send(message));
    socket.onclose = ({ code }) => resolve(code);
    setTimeout(() => resolve('it stays open') || socket.close(), 60_000);
  }), messages);
  const token = await page.evaluate(() => sessionStorage.getItem('container-workshop-terminal'));
  assert.match(token, /^[0-9a-f]{32}$/, '128 bits');
  const wanted = { token, demo: 3, scene: 1, columns: 80, rows: 24 };
  const request = (change) => JSON.stringify({ open: { ...wanted, ...change } });
  assert.equal(await farewell(request({ token: '' })), 4403, 'no token');
  assert.equal(await farewell(request({ token: token.replace(/^./, (first) => (first === '0' ? '1' : '0')) })), 4403, 'another token');
  assert.equal(await farewell(request({ token: token.slice(1) })), 4403, 'a part of it');
  assert.equal(await farewell('touch /tmp/x\n'), 4400, 'keys before the token');
  for (const change of [{ command: '/bin/sh' }, { directory: '/' }, { demo: '/bin/sh' }, { scene: '1; id' }]) {
    assert.equal(await farewell(request(change)), 4400, Object.keys(change)[0]);
  }
  assert.equal(await farewell(request({ demo: 99 })), 4404);
  assert.equal(live.children(), '', 'nothing has run');
});

test('the link is good for once, and the address forgets it', async () => {
  const link = live.link();
  const { page, wrong } = await enter('step-02');
  assert.equal(page.url(), `${live.origin}/#/step-02`);
  assert.notEqual(live.link(), link, 'there is another one');
  assert(!await page.evaluate((code) => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, document.documentElement.outerHTML]).includes(code),
    link.split('=')[1]));
  await page.reload();
  await page.waitForSelector('.live-opener', { state: 'visible' });
  assert.deepEqual(wrong, []);
  const second = await watched(browser);
  await second.page.goto(link);
  await second.page.waitForSelector('html[data-ready]', { state: 'attached' });
  await until('the code is refused', () => second.wrong.some((one) => one.startsWith('403')));
  assert.equal(await second.page.locator('.live-opener').count(), 0);
  assert.doesNotMatch(second.page.url(), /live/);
  await second.page.close();
});

test('a hostile page in another tab gets nowhere', async () => {
  const { page } = await enter('step-03');
  const evil = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>Kittens</title>'));
  await new Promise((resolve) => { evil.listen(0, '127.0.0.1', resolve); });
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${evil.address().port}/`);
    const got = await tab.evaluate(async ({ origin, code }) => {
      const outcome = (promise) => promise.then((answer) => `let in: ${answer.status}`, () => 'refused');
      const socket = () => new Promise((resolve) => {
        const one = new WebSocket(`${origin.replace('http', 'ws')}/terminal`);
        one.onopen = () => resolve('let in');
        one.onerror = () => resolve('refused');
      });
      const frame = document.createElement('iframe');
      frame.src = `${origin}/#/step-03`;
      document.body.append(frame);
      await new Promise((resolve) => { frame.onload = resolve; });
      return {
        socket: await socket(),
        page: await outcome(fetch(`${origin}/`)),
        // Even with the code, which it can't know.
        token: await outcome(fetch(`${origin}/token`, { method: 'POST', body: code })),
        blind: await fetch(`${origin}/token`, { method: 'POST', body: code, mode: 'no-cors' }).then(({ type }) => type, () => 'refused'),
      };
    }, { origin: live.origin, code: new URL(live.link()).hash.slice(6) });
    assert.deepEqual(got, { socket: 'refused', page: 'refused', token: 'refused', blind: 'opaque' });
    const [, frame] = tab.frames();
    assert.equal(await frame.locator('.reveal').count(), 0, 'the deck is in nobody else’s frame');
    assert.equal(live.children(), '', 'nothing runs');
    const next = await enter(); // the code was not used up
    await next.page.close();
    await tab.close();
  } finally {
    evil.close();
  }
});

test('the demo plays beside the slide, from the scene of the talk, and the clicker goes on in it', async () => {
  const { page, wrong } = await enter('step-03');
  await page.click('.live-opener');
  await shows(page, await heading(page));
  await shows(page, /03-pid-namespace/);
  const seen = await page.evaluate(() => {
    const [slide, panel] = ['section.present:not(.stack) .picture', '.live-panel'].map((one) => document.querySelector(one).getBoundingClientRect());
    return { beside: slide.right <= panel.left, size: parseFloat(getComputedStyle(document.querySelector('.xterm-rows')).fontSize), scaled: Boolean(document.querySelector('.live-panel').closest('.reveal')) };
  });
  assert.deepEqual(seen, { beside: true, size: 20, scaled: false });
  const { id } = await page.evaluate(() => document.querySelector('section.present:not(.stack)'));
  await shows(page, /^playground# \S/m);
  const commands = async () => (await screen(page)).match(/^\S+# /gm)?.length ?? 0;
  const first = await commands();
  await page.keyboard.press('PageDown');
  await until('the clicker runs what was typed', async () => await commands() > first);
  const second = await commands();
  await page.click('.slides'); // the focus is the slide's
  await until('it runs that, too', async () => {
    await page.keyboard.press('PageDown');
    return await commands() > second || /⏎/.test(await screen(page));
  });
  assert.equal((await page.evaluate(() => document.querySelector('section.present:not(.stack)'))).id, id, 'the slide stays');
  await page.keyboard.press('F9');
  await page.waitForSelector('.live-panel', { state: 'detached' });
  await nothingPlays();
  await page.keyboard.press('F9');
  await shows(page, /^playground# \S/m);
  await page.keyboard.press('q');
  await shows(page, /The demo has ended/);
  await page.keyboard.press('PageDown');
  await page.waitForSelector('.live-panel', { state: 'detached' });
  await page.keyboard.press('F9');
  await shows(page, /^playground# \S/m);
  await page.click('.slides');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Alt+ArrowRight');
  await arrives(page, 'step-04');
  await page.waitForSelector('.live-panel', { state: 'detached' });
  await nothingPlays();
  assert.deepEqual(wrong, []);
});

test('a terminal like any other: its size, letters of all kinds, what is pasted, a flood, Ctrl-C', async () => {
  const { page } = await enter('step-02');
  await openShell(page);
  const size = () => page.evaluate(() => { const { rows, cols } = document.querySelector('.live-panel').terminal; return `${rows} ${cols}`; });
  const small = await size();
  await type(page, 'stty size');
  await shows(page, new RegExp(`^${small}$`, 'm'));
  await page.setViewportSize({ width: 1280, height: 500 });
  await until('it is smaller', async () => await size() !== small);
  await type(page, 'stty size');
  await shows(page, new RegExp(`^${await size()}$`, 'm'));
  await page.setViewportSize({ width: 1280, height: 720 });

  await type(page, "printf '%s\\n' 'né à Zürich: 漢字, 🦀' | tee letters | wc -c; cat letters");
  await shows(page, /^29\nné à Zürich: 漢字, 🦀$/m);

  await type(page, 'cat > pasted; wc -l pasted; sha256sum pasted');
  await until('cat reads, and no shell', () => page.evaluate(() => !document.querySelector('.live-panel').terminal.modes.bracketedPasteMode));
  const text = Array.from({ length: 2000 }, (_, at) => `line ${at}: ärger, 漢字 🦀\n`).join('');
  await page.evaluate((data) => {
    const transfer = new DataTransfer();
    transfer.setData('text/plain', data);
    document.querySelector('.live-panel textarea').dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }));
  }, text);
  await page.keyboard.press('Control+d');
  await shows(page, /^2000 pasted$/m);
  await shows(page, new RegExp(createHash('sha256').update(text).digest('hex')));

  const begin = Date.now();
  await type(page, "yes 0123456789 | head -c 11000000; echo the end of the flood");
  await shows(page, /^the end of the flood$/m);
  const flood = Date.now() - begin;
  await type(page, 'clear; yes');
  await shows(page, /^y\ny\ny$/m);
  // Long enough for a backlog, if anything sent more than the page can show.
  await page.waitForTimeout(3000);
  await page.keyboard.press('Control+c');
  await type(page, 'echo still here');
  // At once: there is far less than that flood to show before it.
  await until('Ctrl-C is heard', async () => /^still here$/m.test(await screen(page)), 5000 + flood);
});

test('it is root of the playground, and of nothing else', async () => {
  const { page } = await enter('step-02');
  await openShell(page);
  await type(page, 'echo "$(id -u) $(hostname) $PLAYGROUND"; cat /proc/self/uid_map');
  await shows(page, /^0 playground 1$/m);
  const [, outside] = await shows(page, /^ +0 +(\d+) +\d+$/m);
  assert.notEqual(outside, '0', 'root inside is not root of the host');
});

test('one terminal at a time', async () => {
  const first = await enter('step-03');
  await first.page.keyboard.press('F9');
  await shows(first.page, /^playground# \S/m);
  const second = await enter('step-04');
  await second.page.bringToFront();
  await second.page.keyboard.press('F9');
  await shows(second.page, /another page has the terminal/);
  await first.page.close();
  await nothingPlays();
  await second.page.keyboard.press('Enter');
  await second.page.waitForSelector('.live-panel', { state: 'detached' });
  await second.page.keyboard.press('F9');
  await shows(second.page, await heading(second.page));
  await shows(second.page, /04-mount-namespace/);
});

test('when its page is closed or loaded again, the demo ends and leaves nothing', async () => {
  const { page } = await enter('step-02');
  await openShell(page);
  // Nothing of it waits for a hangup.
  await type(page, 'trap "" HUP TERM; (trap "" HUP TERM INT; exec -a of-the-terminal sleep 1000) & echo it $((6 * 7)) runs');
  await shows(page, /it 42 runs/);
  const stragglers = () => processes().filter((words) => words.startsWith('of-the-terminal'));
  await until('it has its name', () => stragglers().length === 1);
  await page.reload();
  await nothingPlays();
  await until('what it left is gone', () => stragglers().length === 0);
  await page.waitForSelector('.live-opener', { state: 'visible' });
  await page.keyboard.press('F9');
  await shows(page, /# \S+/);
});

function processes() {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
    } catch {
      return []; // it has just ended
    }
  });
}

test('in the speaker view, on paper and in a file there is none', async () => {
  const { page, wrong } = await enter('step-03');
  const [notes] = await Promise.all([page.waitForEvent('popup'), page.keyboard.press('s')]);
  const frame = await (await notes.waitForSelector('#current-slide iframe')).contentFrame();
  await frame.waitForSelector('#step-03.present', { state: 'attached' });
  await frame.waitForSelector('html[data-ready]', { state: 'attached' });
  assert.equal(await frame.evaluate(() => sessionStorage.getItem('container-workshop-terminal')?.length), 32, 'it could');
  await frame.waitForTimeout(500);
  assert.equal(await frame.locator('.live-opener').count(), 0);
  assert.deepEqual(wrong, []);
  await notes.close();
  await page.goto(`${live.origin}/?print-pdf`);
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  await page.waitForTimeout(500);
  assert.equal(await page.locator('.live-opener').count(), 0);
  await page.goto(`${live.origin}/?once-more`);
  await page.waitForSelector('.live-opener', { state: 'attached' });
  for (const [address, stored, hash] of [[file, false, '#live=abc'], [file, true, ''], [web, false, '#live=abc']]) {
    await show(page, address);
    if (stored) await page.evaluate(() => sessionStorage.setItem('container-workshop-terminal', '0'.repeat(32)));
    await page.goto('about:blank');
    await page.goto(`${address}${hash}`);
    await page.waitForSelector('html[data-ready]', { state: 'attached' });
    await page.waitForTimeout(500);
    assert.equal(await page.locator('.live-opener').count(), 0, address);
    await page.keyboard.press('F9');
    assert.equal(await page.locator('.live-panel').count(), 0, address);
  }
});

test('it ends with present.sh', async () => {
  const { page } = await enter('step-03');
  await page.keyboard.press('F9');
  await shows(page, /^playground# \S/m);
  const [child] = live.children().split(' ');
  await live.end();
  assert.throws(() => readFileSync(`/proc/${child}/stat`), 'the demo has ended before it');
  await shows(page, /present.sh has ended|The demo has ended/);
});
