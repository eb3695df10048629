// When a part of a slide is there. Its picture names the moments, in their order:
// `moments="attack wall verdict hole"`. Then `at="wall"` is there from that moment
// on, and `until="wall"` up to it. For reveal these are fragments, with numbers.

export function placeMoments(html) {
  const named = [...html.matchAll(/ moments="([^"]*)"/g)];
  if (named.length > 1) throw new Error('more than one picture names its moments');
  const moments = named[0]?.[1].split(' ') ?? [];
  const unused = new Set(moments);
  const placed = html.replace(/ moments="[^"]*"/, '').replace(/<(\w[\w-]*)((?: [\w:-]+="[^"]*")*?) (at|until)="([^"]*)"([^>]*)>/g, (_, tag, before, word, moment, after) => {
    const index = moments.indexOf(moment);
    if (index < 0) throw new Error(`no picture has the moment "${moment}": ${moments.join(' ') || 'it names none'}`);
    unused.delete(moment);
    const classes = word === 'at' ? 'fragment' : 'fragment fade-out';
    const rest = `${before}${after}`;
    const attributes = rest.includes(' class="') ? rest.replace(/ class="([^"]*)"/, ` class="$1 ${classes}"`) : ` class="${classes}"${rest}`;
    return `<${tag}${attributes.replace(/\/?$/, (end) => ` data-fragment-index="${index}"${end}`)}>`;
  });
  if (unused.size) throw new Error(`nothing happens at: ${[...unused].join(', ')}`);
  return placed;
}
