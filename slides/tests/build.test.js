// The cutters, and what makes the build fail.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'node-html-parser';
import { addressOf, webAddress } from '../build/address.js';
import { cutItem, cutItems, fold, highlight, stepsOf } from '../build/code.js';
import { assemble } from '../build/deck.js';
import { checkMatrix } from '../build/matrix.js';
import { placeMoments } from '../build/moments.js';
import { checkCast, cutOutput, cutWords, readCast, toHtml } from '../build/output.js';
import { demoOf, minutes, seconds } from '../build/plan.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const source = `use x;

/// Said before.
impl Feature for Chroot {
    fn inside(&self) -> Result<()> {
        call(
            "chroot",
            chroot(&root),
        )?;
        Ok(())
    }
}

fn other() {}
`;

test('an item is cut whole, without its indent', () => {
  assert.deepEqual(cutItem(source, 'fn inside'), [
    'fn inside(&self) -> Result<()> {', '    call(', '        "chroot",', '        chroot(&root),', '    )?;', '    Ok(())', '}']);
  assert.equal(cutItem(source, 'impl Feature').length, 9);
  assert.equal(cutItem(source, 'impl Feature', true)[0], '/// Said before.');
  assert.deepEqual(cutItem(source, 'use x'), ['use x;']);
  assert.equal(cutItems(source, ['use x', 'fn inside'])[1], '// …');
});

test('an item that is not there, or there twice, is an error', () => {
  assert.throws(() => cutItem(source, 'impl Feature for Uts'), /no item begins with/);
  assert.throws(() => cutItem(source, 'fn '), /more than one/);
  assert.throws(() => cutItem('fn open() {\n    x', 'fn open'), /never ends/);
});

test('a call is folded to its end, or it is an error', () => {
  const cut = cutItem(source, 'fn inside');
  assert.deepEqual(fold(cut, 'call('), ['fn inside(&self) -> Result<()> {', '    // …', '    Ok(())', '}']);
  assert.deepEqual(fold(cut, '"chroot"'), fold(cut, 'call('));
  assert.throws(() => fold(cut, 'mount('), /nothing to fold/);
});

test('lines are lit by their text, and a text that is gone is an error', () => {
  const cut = cutItem(source, 'fn inside');
  assert.deepEqual(stepsOf(cut, ['chroot', 'call( … )?;']), [[2, 3], [1, 4]]);
  assert.throws(() => stepsOf(cut, ['mount']), /no line to light/);
  assert.throws(() => stepsOf(cut, ['call( … mount']), /no line to light/);
  assert.deepEqual(stepsOf(cut, ['call(', 'call( … )?;']), [[1], [2, 3, 4]]);
  assert.throws(() => stepsOf(cut, ['call( … )?;', 'chroot']), /an earlier step lights all/);
});

test('highlighting loses no letter', () => {
  const html = highlight(cutItem(source, 'impl Feature'));
  assert.equal(parse(html, { blockTextElements: {} }).text, cutItem(source, 'impl Feature').join('\n'));
});

test('a part of a slide is there from a named moment on, or up to it', () => {
  const picture = '<svg moments="attack wall hole" width="2">';
  assert.equal(placeMoments(`${picture}<g at="wall"><path class="strike" until="hole" d="M0 0"/></g></svg><p class="hole" at="hole"></p><b at="attack"></b>`),
    '<svg width="2"><g class="fragment" data-fragment-index="1"><path class="strike fragment fade-out" d="M0 0" data-fragment-index="2"/></g></svg>'
    + '<p class="hole fragment" data-fragment-index="2"></p><b class="fragment" data-fragment-index="0"></b>');
  assert.equal(placeMoments('<p class="fragment">x</p>'), '<p class="fragment">x</p>');
  assert.throws(() => placeMoments(`${picture}<g at="wal"/>`), /no picture has the moment "wal": attack wall hole/);
  assert.throws(() => placeMoments('<p at="wall"></p>'), /it names none/);
  assert.throws(() => placeMoments(`${picture}<g at="wall"/><g until="hole"/>`), /nothing happens at: attack/);
  assert.throws(() => placeMoments(`${picture}${picture}`), /more than one/);
});

test('nobody counts fragments', () => {
  for (const directory of ['pictures', 'deck']) {
    for (const name of readdirSync(join(root, 'slides', directory))) {
      assert.doesNotMatch(readFileSync(join(root, 'slides', directory, name), 'utf8'), /fragment(-index)?=/, name);
    }
  }
});

const record = [
  { version: 2, width: 100, height: 28 },
  [0, 'm', 'The attack'],
  [0, 'o', '\u001b[32mplayground#\u001b[0m \u001b[1mattack '],
  [0.1, 'o', 'x\u001b[0m'],
  [0.2, 'o', '\r\n\u001b[1;0;0mx: tries\r\n\u001b[1;31mWORKED\u001b[0m: <b>\r\n\u001b[2;0;0m'],
  [0.3, 'o', '\u001b[32mplayground#\u001b[0m \u001b[1msleep 1000 &\u001b[0m\r\n'],
].map((line) => JSON.stringify(line)).join('\n');

test('output is cut from a recording, by the command that was typed', () => {
  const cast = readCast(record, 'x');
  assert.deepEqual(cast.commands.map(({ command }) => command), ['attack x', 'sleep 1000 &']);
  assert.deepEqual(cutOutput(cast, 'attack x')[0], 'x: tries');
  assert.equal(cutOutput(cast, 'attack x', ['tries', 'WORKED']).length, 2);
  assert.equal(toHtml(cutOutput(cast, 'attack x', ['WORKED'])[0]), '<span class="line">'
    + '<span style="color:var(--code-ansi-red);font-weight:bold"><span class="word">WORKED</span></span>'
    + '<span style="color:var(--code-foreground)"><span class="word">:</span> <span class="word">&#x3C;b></span></span></span>');
});

test('a command that nobody typed, or a line that is not there, is an error', () => {
  const cast = readCast(record, 'x');
  assert.throws(() => cutOutput(cast, 'attack y'), /nobody typed/);
  assert.throws(() => cutOutput(cast, 'attack x', ['STOPPED']), /no line with/);
});

test('a stale recording is an error', () => {
  const cast = readCast(record, 'x');
  checkCast(cast, 'x', ['The attack'], ['attack x', 'sleep 1000']);
  assert.throws(() => checkCast(cast, 'x', ['Another scene'], []), /stale: the demo has other scenes/);
  assert.throws(() => checkCast(cast, 'x', ['The attack'], ['attack y']), /stale: nobody typed: attack y/);
  assert.throws(() => readCast('{"version":3}\n', 'x'), /format 2/);
  assert.throws(() => readCast('{"version":2}\n[0,"o",""]', 'x'), /no commands/);
});

test('a stale matrix is an error', () => {
  const cells = { none: { is: 'works' }, '01': { is: 'stopped' } };
  const matrix = { columns: ['none', '01'], attacks: [{ attack: 'a', cells }] };
  checkMatrix(matrix, ['a'], ['01']);
  assert.throws(() => checkMatrix(matrix, ['a', 'b'], ['01']), /attacks it lacks: b/);
  assert.throws(() => checkMatrix(matrix, [], ['01']), /attacks that are gone: a/);
  assert.throws(() => checkMatrix(matrix, ['a'], ['01', '02']), /steps it lacks: 02/);
  assert.throws(() => checkMatrix({ ...matrix, attacks: [{ attack: 'a', cells: {} }] }, ['a'], ['01']), /cells of a/);
});

test('the plan knows its demos', () => {
  const scenes = [{ title: 'a', seconds: 30 }, { title: 'b', seconds: 60 }];
  assert.deepEqual(demoOf(1, scenes, '2-2'), { command: './scripts/demo.sh 1 --from 2', seconds: 60, titles: ['b'], leave: false });
  assert.equal(demoOf(1, scenes, '1-1').leave, true);
  assert.throws(() => demoOf(1, scenes, '2-3'), /has 2 scenes/);
  assert.equal(minutes(seconds('2:05')), '2:05');
  assert.throws(() => seconds('soon'), /not minutes/);
});

// ── the deck that there is ──

const { html, plan, plans, used } = assemble(root);

test('the talk leaves air: 40 of 45 minutes with its demos, 18 of 20 without', () => {
  const room = plans.slice(0, 2).map(({ minutes: all, spare }) => [all, spare]);
  assert.deepEqual(room, [[20, 2], [45, 5]]);
  assert(plan.slides <= 18 * 60, minutes(plan.slides));
  assert(plan.slides + plan.demos <= 40 * 60, minutes(plan.slides + plan.demos));
  assert(plan.slides > 16 * 60 && plan.slides + plan.demos > 36 * 60, 'it is a talk of that length');
  assert.equal(plan.each.reduce((sum, { own }) => sum + own, 0), plan.slides);
  const timings = [...html.matchAll(/data-timing="(\d+)"/g)].map(([, time]) => Number(time));
  assert.equal(timings.reduce((sum, time) => sum + time, 0), plan.slides + plan.demos, 'the clock of the speaker view');
});

test('what comes after the namespaces gets its time: at least 8 minutes', () => {
  const late = plan.each.filter(({ id }) => ['step-09', 'images', 'ecosystem', 'system'].includes(id));
  assert.equal(late.length, 4);
  const time = late.reduce((sum, { own, demo }) => sum + own + (demo?.seconds ?? 0), 0);
  assert(time >= 8 * 60, minutes(time));
});

test('at least four steps are built by hand first, in the plan', () => {
  const byHand = plan.each.filter(({ demo }) => demo?.titles.some((title) => title.startsWith('By hand')));
  assert(byHand.length >= 4, byHand.map(({ id }) => id).join());
});

test('a scene that is cut when it is late is one of the plan', () => {
  let cut = 0;
  for (const { demo, notes } of plan.each) {
    const late = notes.match(/class="late">([^]*?)<\/p>/)[1];
    for (const [, title] of late.matchAll(/“([^”]+)”/g)) {
      assert(demo?.titles.includes(title), title);
      cut += 1;
    }
  }
  assert(cut > 4);
});

test('at most 20 main slides, each with notes: what to say, what to cut, sources', () => {
  assert(plan.each.length <= 20);
  for (const { id, notes } of plan.each) {
    assert.match(notes, /class="late"/, `${id} says what to cut`);
    if (id !== 'title') assert.match(notes, /class="sources"/, `${id} names its sources`);
  }
  assert.equal(plan.each.filter(({ demo }) => demo).length, 11, 'each demo has its slide');
});

test('where the workshop is cloned from: for everybody, and without a password', () => {
  for (const remote of ['https://host.example/you/w', 'https://host.example/you/w.git', 'https://you:secret@host.example/you/w.git/',
    'git@host.example:you/w.git', 'ssh://git@host.example:2222/you/w.git', 'https://host.example/you/w\n']) {
    assert.equal(webAddress(remote), 'https://host.example/you/w', remote);
  }
  assert.equal(webAddress('https://host.example:8443/w.git'), 'https://host.example:8443/w');
  for (const none of ['', '/srv/w.git', '../w', 'file:///srv/w', 'C:\\w', 'box:w.git']) assert.equal(webAddress(none), '', none);
  const checkout = join(broken, 'checkout');
  const git = (...words) => execFileSync('git', ['-C', checkout, ...words], { stdio: 'ignore' });
  mkdirSync(checkout);
  const given = process.env.WORKSHOP_URL;
  try {
    delete process.env.WORKSHOP_URL;
    git('init');
    assert.equal(addressOf(checkout), '', 'no remote');
    git('remote', 'add', 'origin', 'git@host.example:you/w.git');
    assert.equal(addressOf(checkout), 'https://host.example/you/w');
    process.env.WORKSHOP_URL = 'https://other.example/w';
    assert.equal(addressOf(checkout), 'https://other.example/w');
  } finally {
    delete process.env.WORKSHOP_URL;
    if (given !== undefined) process.env.WORKSHOP_URL = given;
  }
});

test('a link leads where its text says, and a script that is named is there', () => {
  const links = [...html.matchAll(/<a href="([^"]+)">([^<]+)<\/a>/g)];
  assert(links.length > 0);
  for (const [link, address, text] of links) {
    const [, name, section] = text.match(/^(\w+)\((\d)\)$/) ?? [];
    if (name) assert.equal(address, `https://man7.org/linux/man-pages/man${section}/${name}.${section}.html`, link);
    else assert(text.split(' ').some((word) => address.includes(`/${word}-`)), link);
  }
  for (const [, script] of html.matchAll(/([\w-]+\.sh)\b/g)) {
    assert([...readdirSync(join(root, 'scripts')), ...readdirSync(join(root, 'slides/shell'))].includes(script), script);
  }
});

test('no picture and no recording lies around unused', () => {
  for (const name of readdirSync(join(root, 'slides/pictures'))) assert(used.some((path) => path.endsWith(`pictures/${name}`)), name);
  for (const name of readdirSync(join(root, 'slides/casts')).filter((one) => one.endsWith('.cast'))) {
    assert(used.some((path) => path.endsWith(`casts/${name}`)), name);
  }
});

// What no run shows: the names of eth0, PID 1 and root, and history.
const FACTS = {
  '03-pid-namespace': '1',
  '05-user-namespace': '0 1000 0 0 1',
  '08-networking': 'eth0 eth0',
  '09-least-privilege': '1000',
  'cgroup-trees': 'v1 v2',
  history: '1979 V7 2000 4 2005 10 2005 1999 2.2 2001 2.4 2002 2.4.19 2005 2.6.12 2006 2.6.19 2008 2.6.24 2009 2.6.29 2012 3.5 2013 3.8 2014 3.18 2016 v2 4.5 2020 5.6 2008 2013 2014 2015',
  image: 'shop:1.4 3 2 1 debian:12',
  system: '1 1',
  'three-questions': '41 14',
  title: '1 2 3 4 5 6 7 8 9',
  vm: '300+',
};
const numbers = (text) => text.replace(/\w+\(\d\)/g, '').match(/[\w.:-]*\d([\w.:+-]*[\w+])?/g) ?? [];
const words = (svg) => [...svg.matchAll(/<text[^>]*>([^<]*)/g)].map(([, text]) => text);

test('a number in a picture is cut from a recording, or a fact', () => {
  for (const name of readdirSync(join(root, 'slides/pictures'))) {
    const svg = readFileSync(join(root, 'slides/pictures', name), 'utf8').replace(/<deck-(run|cut) .*?\/>/gs, '');
    assert.equal(words(svg).flatMap(numbers).join(' '), FACTS[name.slice(0, -4)] ?? '', name);
  }
  const [all] = cutOutput(readCast(readFileSync(join(root, 'slides/casts/08-networking.cast'), 'utf8'), '08'),
    'grep -e CapEff -e Seccomp: -e NoNewPrivs /proc/$box/status', ['CapEff']);
  assert.equal(BigInt(`0x${all.match(/\w+$/)[0]}`).toString(2).length, 41, 'the bits of the picture "three-questions"');
});

test('what a picture shows of a run is what the recording shows', () => {
  const cast = readCast(record, 'x');
  assert.equal(cutWords(cast, 'attack x', ': (\\w+)$'), 'tries');
  assert.equal(cutWords(cast, 'attack x', '(x): (\\w+)$'), 'x, tries');
  assert.equal(cutWords(cast, 'sleep 1000 &', '(\\d+) &'), '1000');
  assert.equal(cutWords(cast, 'sleep 1000 &', '1(0)(00)', '-1'), '-1');
  assert.throws(() => cutWords(cast, 'attack x', '(STOPPED)'), /nor its output has/);
  assert(!html.includes('<deck-'), 'nothing is left to cut');
});

test('a number or a file of a cgroup that a label or a picture names is there', () => {
  const names = readdirSync(join(root, 'steps/06-cgroups/src'), { recursive: true }).filter((name) => name.endsWith('.rs'));
  const cgroups = names.map((name) => readFileSync(join(root, 'steps/06-cgroups/src', name), 'utf8')).join();
  for (const [, label, svg] of html.matchAll(/<div class="picture" role="img" aria-label="([^"]*)">([^]*?)<\/svg>/g)) {
    for (const number of numbers(label)) assert(words(svg).join(' ').includes(number), `${number}, of: ${label}`);
    for (const [file] of words(svg).join(' ').matchAll(/\b(memory|cpu|pids|cgroup)\.\w[\w.]*/g)) {
      assert(new RegExp(`\\b${file}\\b`).test(cgroups), file);
    }
  }
});

// ── a checkout with one thing wrong in it has no deck ──

const broken = mkdtempSync(join(tmpdir(), 'slides-broken-'));
after(() => rmSync(broken, { recursive: true }));

function checkout(name, part) {
  const copy = join(broken, name);
  const link = (path) => path !== part && symlinkSync(join(root, path), join(copy, path));
  cpSync(join(root, part), join(copy, part), { recursive: true });
  ['steps', 'scripts', 'exercises'].forEach(link);
  if (!part.startsWith('slides')) link('slides');
  else ['slides/deck', 'slides/pictures', 'slides/casts', 'slides/shell', 'slides/pages', 'slides/plans.json', 'slides/given-back.txt'].forEach(link);
  return copy;
}

const edit = (path, from, to) => {
  const text = readFileSync(path, 'utf8');
  assert(text.includes(from), `${path} has no ${from}`);
  writeFileSync(path, text.replaceAll(from, to));
};

const FAULTS = {
  'a region is gone': ['steps', (at) => edit(`${at}/01-chroot/src/lib.rs`, 'impl Feature for Chroot', 'impl Feature for Root'), /07-step-01.*no item begins/],
  'a region changed': ['steps', (at) => edit(`${at}/02-uts-namespace/src/lib.rs`, '|| sethostname(name)', '|| rename(name)'), /08-step-02.*no line to light/],
  'a recording is gone': ['slides/casts', (at) => rmSync(`${at}/03-pid-namespace.cast`), /09-step-03.*ENOENT/],
  'a demo changed after its recording': ['scripts', (at) => edit(`${at}/04-mount-namespace.sh`, 'ls /dev', 'ls -a /dev'), /10-step-04.*stale/],
  'a scene was renamed': ['scripts', (at) => edit(`${at}/05-user-namespace.sh`, "scene 'The hole'", "scene 'A hole'"), /11-step-05.*stale/],
  'the matrix is gone': ['steps', (at) => rmSync(`${at}/attacks/matrix.json`), /16-command.*ENOENT/],
  'the matrix is older than an attack': ['steps', (at) => edit(`${at}/attacks/src/lib.rs`, 'zombies::ATTACK,', 'zombies::ATTACK, new_one::ATTACK,'), /16-command.*stale.*new-one/],
  'a row of a lesson is gone': ['steps', (at) => edit(`${at}/10-system-container/README.md`, '| seccomp |', '| filter |'), /19-system.*no row: seccomp/],
  'a picture is gone': ['slides/pictures', (at) => rmSync(`${at}/history.svg`), /04-history.*ENOENT/],
  'a picture shows what no run has shown': ['slides/pictures', (at) => edit(`${at}/03-pid-namespace.svg`, 'I am (', 'You are ('), /09-step-03.*nor its output has/],
  'a picture shows words of a run that it does not name': ['slides/pictures', (at) => edit(`${at}/05-user-namespace.svg`, 'name="map"', 'name="ids"'), /11-step-05.*names no run map/],
  'a moment that no picture has': ['slides/pictures', (at) => edit(`${at}/03-pid-namespace.svg`, 'moments="attack wall', 'moments="attack brick'), /09-step-03.*no picture has the moment "wall"/],
  'a picture without words': ['slides/deck', (at) => edit(`${at}/04-history.html`, ' label="A timeline', ' words="A timeline'), /04-history.*needs a label/],
  'output is typed into a slide': ['slides/deck', (at) => edit(`${at}/04-history.html`, '<aside', '<pre>$ ls</pre><aside'), /04-history.*no output is typed/],
  'a colour of no line': ['slides/shell', (at) => edit(`${at}/by-hand.sh`, '\n  hostname box', '\n  hostname other'), /16-by-hand.*no line for step 2/],
  'a talk without air': ['slides/deck', (at) => edit(`${at}/04-history.html`, 'data-minutes="0:50"', 'data-minutes="2:50"'), /talk-20 takes 20:00, and has 18:00/],
  'an exercise of the plans is gone': ['exercises', (at) => rmSync(`${at}/05-user-namespace/one-id`, { recursive: true }), /no exercise one-id/],
  'what is given back is of no attack': ['slides/given-back.txt', (at) => edit(at, 'uncover ', 'discover '), /no attack discover/],
  'a slide without notes': ['slides/deck', (at) => edit(`${at}/04-history.html`, 'class="notes"', 'class="note"'), /no notes/],
};
for (const [what, [part, damage, error]] of Object.entries(FAULTS)) {
  test(`no deck: ${what}`, () => {
    const copy = checkout(what.replaceAll(' ', '-'), part);
    damage(join(copy, part));
    assert.throws(() => assemble(copy), (thrown) => error.test(thrown.message) || assert.fail(thrown.message));
  });
}
