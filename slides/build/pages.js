// The pages beside the deck: filled with the deck's own data, and with its style.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { clock, minutes, schedule } from './plan.js';

// What takes a wall of the last step away again, and lets the attack work: as
// `attacks.sh --given-back` has measured it.
export function readGivenBack(text) {
  return text.trim().split('\n').map((line) => {
    const [, attack, options] = line.match(/^(\S+) +works with (.+)$/) ?? [];
    if (!attack) throw new Error(`given-back.txt: not measured: ${line}`);
    return { attack, options };
  });
}

// The data of the player: the matrix, and what was measured beside it.
export function playerData(root, { columns, attacks }) {
  const read = (...path) => readFileSync(join(root, ...path), 'utf8');
  const directories = readdirSync(join(root, 'steps')).filter((name) => /^\d\d-/.test(name));
  const steps = columns.slice(1).map((number) => {
    const directory = directories.find((name) => name.startsWith(`${number}-`));
    const title = read('steps', directory, 'README.md').match(/^# (?:Step \d+: )?(.+)$/m)[1];
    return { name: directory.slice(3).replaceAll('-', ' '), title };
  });
  const gives = Object.fromEntries(readGivenBack(read('slides/given-back.txt')).map(({ attack, options }) => [attack, options]));
  for (const attack of Object.keys(gives)) {
    if (!attacks.some((one) => one.attack === attack)) throw new Error(`given-back.txt is stale: there is no attack ${attack}`);
  }
  return {
    columns, steps,
    attacks: attacks.map(({ attack, tries, rule, stopped_by: by, cells }) => ({
      attack, tries, rule, cells, gives: gives[attack] && { step: by.match(/\d\d/)[0], options: gives[attack] },
    })),
  };
}

// No text of ours ends a script early.
export const inScript = (data) => JSON.stringify(data).replaceAll('<', '\\u003c');

export const fill = (page, style, marks) => Object.entries(marks).reduce(
  (html, [mark, text]) => {
    if (!html.includes(mark)) throw new Error(`the page has no ${mark}`);
    return html.replace(mark, () => text);
  }, page.replace('<!-- style -->', () => `<link rel="stylesheet" href="${style}">`));

// What an exercise's own task says.
export function exerciseMinutes(root) {
  const tasks = readdirSync(join(root, 'exercises'), { withFileTypes: true }).filter(({ name }) => /^\d\d-/.test(name))
    .flatMap(({ name }) => readdirSync(join(root, 'exercises', name)).map((exercise) => [exercise, join(root, 'exercises', name, exercise, 'task.md')]));
  const known = Object.fromEntries(tasks.map(([name, path]) => [name, Number(readFileSync(path, 'utf8').match(/\. (\d+) minutes?\./)?.[1])]));
  return (name) => {
    if (!known[name]) throw new Error(`plans.json: there is no exercise ${name}, or it takes no time`);
    return known[name];
  };
}

const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const shown = (text) => {
  if (text.startsWith('#')) return text.split(' ').map((id) => `<a href="index.html#/${id.slice(1)}">${id.slice(1)}</a>`).join(', ');
  return /^(\.\/|cargo )/.test(text) ? `<code>${escape(text)}</code>` : escape(text);
};

// The plans as tables, with the links to them.
export function plansPage(plans, facts) {
  const sections = plans.map((plan) => {
    const { parts, seconds } = schedule(plan, facts);
    const rows = parts.map(({ begins, seconds: takes, what, demo, pause }) => {
      const when = plan.begin ? clock(plan.begin, begins) : minutes(begins);
      const all = [...what, ...(demo ? [`${demo.command}`] : [])].map(shown).join('<br>');
      return `<tr${pause ? ' class="pause"' : ''}><td>${when}</td><td>${plan.begin ? Math.round(takes / 60) : minutes(takes)}</td><td>${all}${
        demo ? ` <span class="soft">${demo.titles.map(escape).join(' · ')}${demo.leave ? '; then q' : ''}</span>` : ''}</td></tr>`;
    });
    const cuts = parts.filter(({ cut }) => cut).sort((a, b) => a.cut.order - b.cut.order)
      .map(({ what, cut }) => `<li>${what.slice(1).map(shown).join(', ')}: show the slide only. Saves ${cut.saves} minutes.</li>`);
    const toldLate = parts.filter(({ late }) => late).map(({ what: [id], late }) => `<li>${shown(id)}: ${late.replace(/^Late\? /, '')}</li>`);
    const end = plan.begin ? `ends at ${clock(plan.begin, seconds)}, of ${clock(plan.begin, 60 * plan.minutes)}` : `${minutes(seconds)} planned, of ${minutes(60 * plan.minutes)}`;
    return `<section id="${plan.id}"><h2>${plan.name}</h2><p>${plan.word} <b>${end}.</b></p>`
      + `<table><thead><tr><th scope="col">${plan.begin ? 'at' : 'gone'}</th><th scope="col">takes</th><th scope="col">what</th></tr></thead><tbody>${rows.join('')}</tbody></table>`
      + `<details><summary>Late? What to cut, ${cuts.length ? 'in this order' : 'slide by slide'}</summary><ol>${(cuts.length ? cuts : toldLate).join('')}</ol></details></section>`;
  });
  return { plans: sections.join('\n'), links: plans.map(({ id, name }) => `<a href="#${id}">${name}</a>`).join(' · ') };
}

// What everybody runs a week before.
export const preparation = (address) => [
  address ? `git clone ${address} && cd ${address.split('/').at(-1)}` : 'git clone ADDRESS container-workshop && cd container-workshop',
  './scripts/setup.sh', 'cargo build --workspace', './scripts/doctor.sh',
].join(' &&\n    ');
