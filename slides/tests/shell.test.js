// The commands that the slides show are run, in the playground.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readShell } from '../build/shell.js';
import { PATIENCE, slides } from './browser.js';

const root = join(slides, '..');
const script = (name) => readShell(readFileSync(join(slides, 'shell', `${name}.sh`), 'utf8'));

// Builds what is not built.
execFileSync(join(root, 'scripts/demo.sh'), ['--prepare'], { stdio: ['ignore', 'inherit', 'inherit'] });
const playground = (commands, input = '') => execFileSync(join(root, 'scripts/playground.sh'), ['--', 'bash', '-ec', `
  cd "$(mktemp -d)"; chmod 755 .
  cp -a "$(01-chroot true 2>&1 </dev/null | sed -n 's/.* ROOT=//p')" image
  ${commands}`], { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'inherit'], timeout: PATIENCE }).trim();
const has = (name) => playground(`echo $${name}`);

test('ten lines of shell are a container', (t) => {
  const { body } = script('by-hand');
  assert.equal(body.split('\n').length, 10);
  const inside = `
    echo name $(hostname) pid $$ user $(id -u)
    echo map $(cat /proc/self/uid_map)
    echo privs $(grep NoNewPrivs /proc/self/status)
    echo net $(grep -c : /proc/net/dev)
    echo mounts $(cut -d' ' -f2,3 /proc/mounts)
    echo changed > /etc/hostname; ls /host 2>&1
    attack fork-bomb 60`;
  const limited = has('PLAYGROUND_CGROUP') !== 'none';
  // Without a cgroup to give, a directory that nobody enforces.
  const cgroup = limited ? '/sys/fs/cgroup' : '$PWD/cgroup';
  const said = playground(`
    export cgroup=${cgroup}; mkdir -p $cgroup; [ ! -d $cgroup/pids ] || cgroup=$cgroup/pids
    echo outside > image/etc/hostname
    cat > by-hand.sh <<'END'
${body}
END
    sh -e by-hand.sh || true
    echo after $(hostname) $(cat image/etc/hostname) $(grep -c "$PWD/root" /proc/mounts)`, inside);
  for (const line of [/^name box pid 1 user 0$/m, /^map 0 0 1$/m, /^privs NoNewPrivs: 1$/m, /^net 1$/m, /^mounts \/ overlay \/proc proc$/m,
    /^after playground outside 0$/m]) assert.match(said, line);
  if (limited) assert.match(said, /STOPPED/, 'its limit holds');
  else t.diagnostic('no cgroup is to be had here: whether the limit holds was not judged');
});

test("docker's command and ours have the same flags, and ours is run", (t) => {
  const [docker, ours] = ['docker', 'ours'].map(script);
  const flags = ({ marks }) => marks.filter(({ text }) => /^-/.test(text) && !text.startsWith('--rootfs'));
  assert.deepEqual(flags(ours), flags(docker));
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const beside = [...readme.matchAll(/^\| (\d\d) \| (.*?) \|/gm)].map(([, step, here]) => [Number(step), here]);
  for (const { step, text } of ours.marks) {
    for (const [flag] of text.matchAll(/(?<!\S)--?[a-z][a-z-]*/g)) {
      assert(beside.some(([at, here]) => at === Number(step) && here.includes(`\`${flag}`)), `${flag} is of step ${step}, in the README`);
    }
  }
  let command = ours.body;
  const without = (flag, why) => {
    assert(command.includes(flag));
    command = command.replace(flag, '');
    t.diagnostic(`${flag} was not judged: ${why}`);
  };
  if (has('PLAYGROUND_CGROUP') === 'none') without('-m 64m --pids-limit 20', 'no cgroup is to be had here');
  if (has('PLAYGROUND_IDS') === '1') without('-u 1000:1000', 'there is only one id here');
  const said = playground(`export image=$PWD/image; mkdir shared; echo hi > shared/letter\n${command}`);
  assert.equal(said, `${command.includes('-u 1000') ? 1000 : 0}\nbox\nletter`);
});
