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

// ── the plans for whoever gives it: plans.json, in minutes of the deck, the demos
// and the exercises ──

const whole = (text) => Math.ceil(text / 60);

// Each part of a plan with its beginning (in minutes), its length and what is done.
// `facts` knows slides (own minutes, demo), demos (their length) and exercises.
export function schedule(plan, { mains, demoLength, exerciseMinutes }) {
  const slide = (id) => {
    const found = mains.find((main) => main.id === id);
    if (!found) throw new Error(`plans.json: ${plan.id}: there is no main slide ${id}`);
    return found;
  };
  const inTalk = ({ id, own, demo, late }) => {
    const time = own + (plan.talk === 'demos' ? demo?.seconds ?? 0 : 0);
    return { what: [`#${id}`], demo: plan.talk === 'demos' ? demo : undefined, seconds: time, late };
  };
  const inWorkshop = ({ do: act, pause, minutes: given, slides, step, exercises = [], cut }) => {
    if (act ?? pause) return { what: [act ?? pause], seconds: 60 * given, pause: Boolean(pause) };
    const ids = slides ?? [`step-${String(step).padStart(2, '0')}`];
    const shown = ids.map(slide).reduce((sum, { own }) => sum + own, 0);
    const parts = [[ids.map((id) => `#${id}`).join(' '), shown]];
    if (step) parts.push([`./scripts/demo.sh ${step}`, demoLength(step)]);
    for (const name of exercises) parts.push([`cargo exercise task ${name}`, 60 * exerciseMinutes(name)]);
    // People need a while from one thing to the next.
    const seconds = 60 * whole(parts.reduce((sum, [, time]) => sum + time, 0)) + (step ? 60 : 0);
    return { what: parts.map(([text]) => text), seconds, cut: cut && { order: cut, saves: whole(parts.slice(1).reduce((sum, [, time]) => sum + time, 0)) } };
  };
  let at = 0;
  const parts = (plan.talk ? mains.map(inTalk) : plan.parts.map(inWorkshop)).map((part) => {
    const begins = at;
    at += part.seconds;
    return { ...part, begins };
  });
  const room = 60 * (plan.minutes - (plan.spare ?? 0));
  if (at > room) throw new Error(`plans.json: ${plan.id} takes ${minutes(at)}, and has ${minutes(room)}`);
  return { parts, seconds: at };
}

export const clock = (begin, time) => {
  const [hours, rest] = begin.split(':').map(Number);
  const all = 60 * hours + rest + Math.round(time / 60);
  return `${Math.floor(all / 60)}:${String(all % 60).padStart(2, '0')}`;
};
