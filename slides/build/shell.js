// Scripts that the tests run, shown with each part in the colour of its step.

const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

// At its top, a script says which texts belong to which step: `#2 TEXT | TEXT`.
// A text that is not there is an error.
export function readShell(script) {
  const [head, body] = script.split(/\n\n([^]*)/);
  const marks = [...head.matchAll(/^#(\d+) (.+)$/gm)].flatMap(([, step, texts]) => texts.split(' | ').map((text) => ({ step, text })));
  for (const { step, text } of marks) {
    if (!body.includes(text)) throw new Error(`no line for step ${step} has: ${text}`);
  }
  return { marks, body: body.trimEnd() };
}

// A part has its step's number, too: no meaning hangs on a colour.
export function colourShell(script) {
  const { marks, body } = readShell(script);
  let html = escape(body);
  for (const { step, text } of marks) {
    html = html.replace(escape(text), () => `<span class="of of-${step}"><i>${step}</i>${text.split(' ').map((word) => `<span class="word">${escape(word)}</span>`).join(' ')}</span>`);
  }
  return html;
}
