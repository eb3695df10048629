// The wall of nine bricks, which grows from step to step.
const NAMES = ['chroot', 'uts', 'pid', 'mount', 'user', 'cgroup', 'overlay', 'net', 'caps'];

// Two courses, five and four, the lower one first, as masons do it. Without a step,
// all of it; coloured, each brick has the colour of its step.
export function wall(step = Infinity, coloured = false) {
  const bricks = NAMES.map((name, at) => {
    const course = Math.floor(at / 5);
    const x = 1 + (at % 5) * 52 + (course ? 26 : 0);
    const kind = at + 1 === step ? 'new' : at < step ? 'laid' : 'open';
    return `<g class="brick ${kind}${coloured ? ` of-${at + 1}` : ''}" transform="translate(${x} ${course ? 1 : 31})">`
      + `<rect width="48" height="26" rx="3"/><text x="24" y="20">${at + 1}</text></g>`;
  });
  return `<svg class="wall" width="262" height="58" viewBox="0 0 262 58" role="img" `
    + `aria-label="The wall so far: ${NAMES.slice(0, step).join(', ')}">${bricks.join('')}</svg>`;
}
