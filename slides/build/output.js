// Reads recorded demos (asciinema's format 2), and cuts output out of them.
//
// A demo types its commands bold after a green prompt, and puts invisible
// colours around what a command prints: see scripts/demo.

import { highlighter } from './code.js';

const COMMAND = /\x1b\[32m[^\x1b\n]*#\x1b\[0m \x1b\[1m([^\x1b]*)\x1b\[0m\n(?:\x1b\[1;0;0m([^]*?)\x1b\[2;0;0m)?/g;

export function readCast(text, name) {
  const [header, ...events] = text.trim().split('\n').map((line) => JSON.parse(line));
  if (header.version !== 2) throw new Error(`${name} is no recording of asciinema's format 2`);
  const scenes = [];
  let record = '';
  for (const [time, kind, data] of events) {
    if (kind === 'm') scenes.push({ time, title: data });
    if (kind === 'o') record += data.replaceAll('\r', '');
  }
  const commands = [...record.matchAll(COMMAND)]
    .map(([, command, output]) => ({ command, output: output ?? '' }));
  if (!commands.length || !scenes.length) throw new Error(`${name} has no commands, or no scenes`);
  return { header, scenes, commands, duration: events.at(-1)[0] };
}

// A demo that types other commands than its recording shows was changed since.
export function checkCast(cast, name, titles, commands) {
  const fail = (why) => {
    throw new Error(`casts/${name}.cast is stale: ${why}. Record it: scripts/record.sh ${name.slice(0, 2)}`);
  };
  if (titles.join() !== cast.scenes.map(({ title }) => title).join()) fail('the demo has other scenes');
  const typed = new Set(cast.commands.map(({ command }) => command.replace(/ &$/, '')));
  const untyped = commands.find((command) => !typed.has(command));
  if (untyped !== undefined) fail(`nobody typed: ${untyped}`);
}

// The output of the command that was typed this way; with `lines`, only the lines
// that have one of its texts, with `…` for what lies between.
export function cutOutput(cast, command, lines = []) {
  const piece = cast.commands.find((one) => one.command === command);
  if (!piece) throw new Error(`nobody typed: ${command}`);
  const all = piece.output.replace(/\n$/, '').split('\n');
  if (!lines.length) return all;
  const plain = all.map((line) => line.replace(/\x1b\[[0-9;]*m/g, ''));
  for (const text of lines) {
    if (!plain.some((line) => line.includes(text))) {
      throw new Error(`the output of "${command}" has no line with: ${text}`);
    }
  }
  return all.filter((_, at) => lines.some((text) => plain[at].includes(text)));
}

const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

// What a picture shows of a command or its output: what the groups of `match`
// find there; with `add`, their sum plus that number.
export function cutWords(cast, command, match, add) {
  const text = [command, ...cutOutput(cast, command)].join('\n').replace(/\x1b\[[0-9;]*m/g, '');
  const found = text.match(new RegExp(match, 'm'))?.slice(1);
  if (!found) throw new Error(`neither "${command}" nor its output has: ${match}`);
  return escape(add === undefined ? found.join(', ') : String(found.reduce((sum, one) => sum + Number(one), Number(add))));
}

// Nobody can type a command that is broken inside a word: each stays on one line.
const inWholeWords = ({ value }) => value.split(/(\s+)/).filter(Boolean).map((part) => (part.trim()
  ? { type: 'element', tagName: 'span', properties: { class: 'word' }, children: [{ type: 'text', value: part }] }
  : { type: 'text', value: part }));

// With the colours of a terminal.
export const toHtml = (text) => highlighter.codeToHtml(text, {
  lang: 'ansi',
  theme: 'deck',
  transformers: [{
    span(span) { span.children = span.children.flatMap(inWholeWords); },
    root(root) { root.children = root.children[0].children[0].children; }, // without pre and code
  }],
});
