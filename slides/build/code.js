// Cuts whole items out of the compiled steps, and colours them.
import { createHighlighter, createCssVariablesTheme } from 'shiki';

// The item whose first line begins with `head`, up to the line that closes it.
// A marker in the source would be noise in a lesson: the first line is enough.
// If it is missing, or there twice, that is an error.
export function cutItem(source, head, documented = false) {
  const lines = source.split('\n');
  const heads = lines.flatMap((line, at) => (line.trimStart().startsWith(head) ? [at] : []));
  if (heads.length !== 1) {
    throw new Error(`${heads.length ? 'more than one item begins' : 'no item begins'} with: ${head}`);
  }
  let [begin] = heads;
  const indent = lines[begin].match(/^ */)[0];
  let end = begin;
  if (!lines[begin].endsWith(';')) {
    end = lines.findIndex((line, at) => at > begin && line.startsWith(`${indent}}`));
  }
  if (end < 0) throw new Error(`the item never ends: ${head}`);
  while (documented && lines[begin - 1].startsWith(`${indent}///`)) begin -= 1;
  return lines.slice(begin, end + 1).map((line) => line.slice(indent.length));
}

const brackets = (line) => [...line].reduce(
  (depth, c) => depth + ('([{'.includes(c) ? 1 : 0) - (')]}'.includes(c) ? 1 : 0), 0);

// Puts `// …` in place of each statement or call that begins with `text`, or
// whose first argument does.
export function fold(lines, text) {
  const folded = [];
  let found = false;
  for (let at = 0; at < lines.length; at += 1) {
    const begins = (line) => line?.trimStart().startsWith(text);
    if (!begins(lines[at]) && !(lines[at].endsWith('(') && begins(lines[at + 1]))) {
      folded.push(lines[at]);
      continue;
    }
    found = true;
    const mark = `${lines[at].match(/^ */)[0]}// …`;
    for (let depth = brackets(lines[at]); depth > 0; depth += brackets(lines[at])) at += 1;
    if (folded.at(-1) !== mark) folded.push(mark);
  }
  if (!found) throw new Error(`nothing to fold begins with: ${text}`);
  return folded;
}

// Several items of one file, in the order in which they are named.
export function cutItems(source, heads, documented) {
  return heads.flatMap((head, at) => [...(at ? ['// …'] : []), ...cutItem(source, head, documented)]);
}

// Which lines each step lights: `TEXT` means the lines that have it, `TEXT … TEXT`
// those from one to the other. Texts, because line numbers go stale silently. What
// one step has lit, no later one lights.
export function stepsOf(lines, steps) {
  const lit = new Set();
  return steps.map((step) => {
    const [from, to] = step.split(' … ');
    const begin = lines.findIndex((line) => line.includes(from));
    if (begin < 0) throw new Error(`no line to light has: ${from}`);
    const end = lines.findIndex((line, at) => at >= begin && line.includes(to ?? ''));
    if (end < 0) throw new Error(`no line to light after "${from}" has: ${to}`);
    const all = [...lines.keys()].filter((at) => (to === undefined ? lines[at].includes(from) : at >= begin && at <= end));
    const fresh = all.filter((at) => !lit.has(at));
    if (!fresh.length) throw new Error(`an earlier step lights all that has: ${step}`);
    fresh.forEach((at) => lit.add(at));
    return fresh;
  });
}

export const highlighter = await createHighlighter({
  langs: ['rust'],
  themes: [createCssVariablesTheme({ name: 'deck', variablePrefix: '--code-' })],
});

// Each step's lines are a fragment of reveal's: it says which one is the current one.
export function highlight(lines, steps = [], label = '') {
  return highlighter.codeToHtml(lines.join('\n'), {
    lang: 'rust',
    theme: 'deck',
    transformers: [{
      pre: (pre) => { pre.properties = { tabindex: 0, 'aria-label': label }; },
      line(line, number) {
        const step = steps.findIndex((numbers) => numbers.includes(number - 1));
        if (step < 0) return;
        this.addClassToHast(line, 'fragment custom');
        line.properties['data-fragment-index'] = step;
      },
    }],
  });
}
