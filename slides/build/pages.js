// The pages beside the deck: filled with the deck's own data, and with its style.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

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
