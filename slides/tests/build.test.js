// The cutters, and what makes the build fail.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cutItem, cutItems, fold, highlight, stepsOf } from '../build/code.js';
import { assemble } from '../build/deck.js';
import { checkMatrix } from '../build/matrix.js';
import { checkCast, cutOutput, readCast, toHtml } from '../build/output.js';
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
  assert.deepEqual(stepsOf(cut, ['chroot', 'call( … )?;']), [[2, 3], [1, 2, 3, 4]]);
  assert.throws(() => stepsOf(cut, ['mount']), /no line to light/);
  assert.throws(() => stepsOf(cut, ['call( … mount']), /no line to light/);
});

test('highlighting loses no letter', () => {
  const html = highlight(cutItem(source, 'impl Feature'));
  const text = html.replace(/<[^>]*>/g, '').replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');
  assert.equal(text, cutItem(source, 'impl Feature').join('\n'));
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
  assert.equal(toHtml(cutOutput(cast, 'attack x', ['WORKED'])[0]), '<span class="bold red">WORKED</span>: &lt;b&gt;');
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

const { html, plan, used } = assemble(root);

test('the talk is 45 minutes with its demos, and 20 without', () => {
  assert.equal(minutes(plan.slides), '20:00');
  assert.equal(minutes(plan.slides + plan.demos), '45:00');
  assert.equal(plan.each.reduce((sum, { own }) => sum + own, 0), plan.slides);
});

test('at most 20 main slides, each with notes: what to say, what to cut, sources', () => {
  assert(plan.each.length <= 20);
  for (const { id, notes } of plan.each) {
    assert.match(notes, /class="late"/, `${id} says what to cut`);
    if (id !== 'title') assert.match(notes, /class="sources"/, `${id} names its sources`);
  }
  assert.equal(plan.each.filter(({ demo }) => demo).length, 9, 'each demo has its slide');
});

test('everything asked for is there', () => {
  for (const word of ['process', '1979', 'jails', 'zones', 'LXC', 'OCI', 'cgroup v2', 'memory.limit_in_bytes', 'capabilities',
    'seccomp', 'AppArmor', 'manifest', 'containerd', 'shim', 'runc', 'crun', 'youki', 'podman', 'CRI-O', 'Kubernetes', 'kubelet',
    'OCI distribution', 'OCI image', 'OCI runtime', 'CNI', 'Incus', 'systemd-nspawn', 'LXD', 'exercises', 'user_namespaces(7)']) {
    assert(html.includes(word), word);
  }
  for (const kind of ['mnt', 'uts', 'ipc', 'pid', 'net', 'user', 'cgroup', 'time']) {
    assert(html.includes(`<b class="brick-name">${kind}</b>`), kind);
  }
  assert.equal(html.match(/class="output worked/g).length, 8);
  assert.equal(html.match(/class="output stopped/g).length, 8);
});

test('no picture and no recording lies around unused', () => {
  for (const name of readdirSync(join(root, 'slides/pictures'))) assert(used.some((path) => path.endsWith(`pictures/${name}`)), name);
  for (const name of readdirSync(join(root, 'slides/casts')).filter((one) => one.endsWith('.cast'))) {
    assert(used.some((path) => path.endsWith(`casts/${name}`)), name);
  }
});

test('the numbers in pictures are those of the recordings', () => {
  const cast = (name) => readCast(readFileSync(join(root, `slides/casts/${name}.cast`), 'utf8'), name);
  const picture = (name) => readFileSync(join(root, `slides/pictures/${name}.svg`), 'utf8');
  const [map] = cutOutput(cast('05-user-namespace'), 'box=$(pgrep -P $!); cat /proc/$box/uid_map');
  assert(picture('05-user-namespace').includes(map.trim().split(/\s+/).join('   ')), map);
  const [address] = cutOutput(cast('08-networking'), '08-networking -q attack bridge-service 8001', ['STOPPED'])[0].match(/10\.77\.\d+\.\d+/);
  assert(picture('08-networking').includes(address), address);
});

// ── a checkout with one thing wrong in it has no deck ──

const broken = mkdtempSync(join(tmpdir(), 'slides-broken-'));
after(() => rmSync(broken, { recursive: true }));

function checkout(name, part) {
  const copy = join(broken, name);
  const link = (path) => path !== part && symlinkSync(join(root, path), join(copy, path));
  cpSync(join(root, part), join(copy, part), { recursive: true });
  ['steps', 'scripts'].forEach(link);
  if (!part.startsWith('slides')) link('slides');
  else ['slides/deck', 'slides/pictures', 'slides/casts'].forEach(link);
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
  'the matrix is gone': ['steps', (at) => rmSync(`${at}/attacks/matrix.json`), /15-matrix.*ENOENT/],
  'the matrix is older than an attack': ['steps', (at) => edit(`${at}/attacks/src/lib.rs`, 'zombies::ATTACK,', 'zombies::ATTACK, new_one::ATTACK,'), /15-matrix.*stale.*new-one/],
  'a picture is gone': ['slides/pictures', (at) => rmSync(`${at}/vm.svg`), /03-vm.*ENOENT/],
  'output is typed into a slide': ['slides/deck', (at) => edit(`${at}/03-vm.html`, '<aside', '<pre>$ ls</pre><aside'), /03-vm.*no output is typed/],
  'a slide without notes': ['slides/deck', (at) => edit(`${at}/03-vm.html`, 'class="notes"', 'class="note"'), /no notes/],
};
for (const [what, [part, damage, error]] of Object.entries(FAULTS)) {
  test(`no deck: ${what}`, () => {
    const copy = checkout(what.replaceAll(' ', '-'), part);
    damage(join(copy, part));
    assert.throws(() => assemble(copy), (thrown) => error.test(thrown.message) || assert.fail(thrown.message));
  });
}
