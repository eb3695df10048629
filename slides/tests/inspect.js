// Looks at the slide on screen and returns what is wrong with it. It runs in the
// page, so it has to be one function.
export function inspect({ contrast, id }) {
  const slide = id ? document.getElementById(id) : document.querySelector('section.present:not(.stack)');
  const frame = slide.getBoundingClientRect();
  const scale = frame.width / 1280;
  const wrong = [];
  const tell = (what, element) => wrong.push(`#${slide.id}: ${what}: "${element.textContent.trim().replace(/\s+/g, ' ').slice(0, 60)}"`);

  // ── what there is to read, line by line ──
  const BLOCK = 'text, p, pre, figcaption, h1, h2, h3, li, td, th, small, .typed, .number, .brick-name, .key div, .kind i, .kind span';
  const PLAYER = '.ap-wrapper';
  const shown = (element) => element.getClientRects().length > 0
    && element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const texts = [];
  const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || element.closest(`aside.notes, .unseen, ${PLAYER}`) || !shown(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    // A line's box is higher than its letters.
    const lines = [...range.getClientRects()].filter(({ width }) => width > 0).map(({ left, right, top, bottom }) => {
      const rim = (bottom - top) * 0.2;
      return { left, right, top: top + rim, bottom: bottom - rim };
    });
    texts.push({ element, block: element.closest(BLOCK) ?? element, lines });
  }
  if (!texts.length && !slide.querySelector(PLAYER)) wrong.push(`#${slide.id}: nothing to read`);

  // ── overflow ──
  const outside = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1
    || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
  for (const { element, lines } of texts) {
    const holder = element.closest('svg, .card, .output, .source pre, .kind')?.getBoundingClientRect() ?? frame;
    if (lines.some((line) => outside(line, frame))) tell('outside of the slide', element);
    else if (lines.some((line) => outside(line, holder))) tell('outside of what holds it', element);
  }
  const blocks = [...slide.children].filter((child) => shown(child) && !child.matches('aside'));
  for (const block of blocks) {
    if (outside(block.getBoundingClientRect(), frame)) tell('a block outside of the slide', block);
  }
  for (const element of slide.querySelectorAll('pre, figure, .card, .kind, .matrix, .columns')) {
    if (element.closest(PLAYER)) continue;
    if (element.scrollWidth > element.clientWidth + 4 || element.scrollHeight > element.clientHeight + 4) tell('too small for what is in it', element);
  }

  // ── overlap ──
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  blocks.forEach((a, at) => blocks.slice(at + 1).forEach((b) => {
    if (meet(a.getBoundingClientRect(), b.getBoundingClientRect())) tell('a block over another', b);
  }));
  texts.forEach((a, at) => texts.slice(at + 1).forEach((b) => {
    if (a.block.contains(b.block) || b.block.contains(a.block)) return;
    if (a.lines.some((line) => b.lines.some((other) => meet(line, other)))) {
      tell(`over "${a.element.textContent.trim().slice(0, 40)}"`, b.element);
    }
  }));
  for (const arrow of document.querySelectorAll('.controls .enabled .controls-arrow')) {
    const box = arrow.getBoundingClientRect();
    for (const { element, lines } of shown(arrow) ? texts : []) {
      if (lines.some((line) => meet(line, box))) tell('under the arrows', element);
    }
  }

  // ── letters ──
  for (const { element } of texts) {
    const matrix = element.getScreenCTM?.();
    const size = parseFloat(getComputedStyle(element).fontSize) * (matrix ? Math.hypot(matrix.a, matrix.b) / scale : 1);
    // Code beside the main line and the matrix are pointed at; the rest is read in the last row.
    const least = element.closest('header .wall') || (element.closest('.source pre, .matrix') && slide.previousElementSibling) ? 20 : 24;
    if (size < least - 0.01) tell(`letters of ${size.toFixed(1)} px`, element);
  }

  // ── words that can't be typed as they stand ──
  for (const { element } of texts) {
    if (!element.closest('.typed, .output pre, code')) continue;
    for (const node of element.childNodes) {
      for (const { index, 0: word } of node.nodeType === Node.TEXT_NODE ? node.data.matchAll(/\S+/g) : []) {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) tell(`broken inside a word, ${word}`, element);
      }
    }
  }

  // ── an attack that goes through a wall: there must be a hole in it, or no wall ──
  const walls = [...slide.querySelectorAll('.walls')].filter(shown);
  for (const strike of walls.length ? slide.querySelectorAll('.strike') : []) {
    const points = shown(strike) ? Array.from({ length: strike.getTotalLength() / 2 }, (_, at) => strike.getPointAtLength(2 * at)) : [];
    if (walls.some((wall) => wall.ownerSVGElement === strike.ownerSVGElement && points.some((point) => wall.isPointInStroke(point)))) {
      wrong.push(`#${slide.id}: an attack through a wall: ${strike.getAttribute('d')}`);
    }
  }

  // ── contrast ──
  const parse = (text) => {
    const numbers = text.match(/[\d.]+(e-?\d+)?/g)?.map(Number) ?? [0, 0, 0, 0];
    const [r, g, b, alpha = 1] = numbers;
    return text.startsWith('color(') ? [r * 255, g * 255, b * 255, alpha] : [r, g, b, alpha];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paint = (element) => {
    const style = getComputedStyle(element);
    if (element instanceof SVGElement) {
      if (!element.matches('rect, circle, path') || style.fill === 'none') return null;
      return parse(style.fill);
    }
    return parse(style.backgroundColor);
  };
  if (contrast) {
    // Asking what lies below is slow, so only where something is new.
    window.seen ??= new WeakMap();
    for (const { element, lines } of texts) {
      if (!lines.length) continue;
      const style = getComputedStyle(element);
      const looks = [style.color, style.fill, element.closest('.source, .fragment')?.className].join();
      if (window.seen.get(element) === looks) continue;
      window.seen.set(element, looks);
      const ink = parse(element instanceof SVGElement ? style.fill : style.color);
      const [line] = lines;
      const stack = document.elementsFromPoint((line.left + line.right) / 2, (line.top + line.bottom) / 2);
      const below = stack.slice(stack.indexOf(element) + 1);
      const sheets = stack.includes(element) && !(element instanceof SVGElement) ? [element, ...below] : below;
      const ground = sheets.map(paint).find((colour) => colour && colour[3] > 0.99);
      if (!ground) {
        tell('no background found', element);
        continue;
      }
      const [low, high] = [luminance(ink.slice(0, 3)), luminance(ground.slice(0, 3))].sort((a, b) => a - b);
      const ratio = (high + 0.05) / (low + 0.05);
      if (ratio < 4.5) tell(`contrast ${ratio.toFixed(2)}`, element);
    }
  }
  return wrong;
}
