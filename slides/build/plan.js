// The minutes of the talk: those of the slides, and those of the demos.
import { execFileSync } from 'node:child_process';
import { hostname } from 'node:os';
import { dirname } from 'node:path';

export const seconds = (text) => {
  const [, minutes, rest] = text.match(/^(\d+):([0-5]\d)$/) ?? [];
  if (minutes === undefined) throw new Error(`not minutes, M:SS: ${text}`);
  return 60 * Number(minutes) + Number(rest);
};

export const minutes = (time) => `${Math.floor(time / 60)}:${String(time % 60).padStart(2, '0')}`;

// What a demo itself says about its scenes.
export function scenesOf(script) {
  const list = execFileSync(script, ['--list'], { encoding: 'utf8' });
  return [...list.matchAll(/^ +\d+ +(.+?) +(\d+:\d\d)$/gm)]
    .map(([, title, plan]) => ({ title, seconds: seconds(plan) }));
}

// The commands that it types, on a host with the playground's name. Those that
// depend on an internet or on a running docker are left out.
const COMMANDS = `
  docker() { return 1; }; podman() { return 1; }; source() { :; }
  . "$1/lib/demo.sh"
  play() {
    local i
    for ((i = 0; i < \${#words[@]}; i += 3)); do
      case \${words[i]} in run | refuse | background) printf '%s\\0' "\${words[i + 1]}" ;; esac
    done
  }
  . "$2"`;

export function commandsOf(script) {
  const typed = execFileSync('bash', ['-c', COMMANDS, 'bash', dirname(script), script], { encoding: 'utf8' });
  return typed.replaceAll(`'${hostname()}'`, "'playground'").split('\0').slice(0, -1);
}

// `FIRST-LAST`, out of the scenes that there are: how long, and what to type.
export function demoOf(number, scenes, range) {
  const [first, last] = range.split('-').map(Number);
  if (!(first >= 1 && first <= last && last <= scenes.length)) {
    throw new Error(`demo ${number} has ${scenes.length} scenes, not ${range}`);
  }
  return {
    command: `./scripts/demo.sh ${number}${first > 1 ? ` --from ${first}` : ''}`,
    seconds: scenes.slice(first - 1, last).reduce((sum, scene) => sum + scene.seconds, 0),
    titles: scenes.slice(first - 1, last).map(({ title }) => title),
    leave: last < scenes.length,
  };
}
