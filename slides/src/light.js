// Code is lit in steps: each step is an empty fragment that names its lines.
export function followLight(deck) {
  const light = () => {
    const slide = deck.getCurrentSlide();
    for (const source of slide?.querySelectorAll('.source') ?? []) {
      const lit = [...source.querySelectorAll('.light.visible')].at(-1)?.dataset.lines.split(' ');
      source.classList.toggle('lit', Boolean(lit));
      source.querySelectorAll('.line').forEach((line, at) => {
        line.classList.toggle('dark', Boolean(lit) && !lit.includes(String(at)));
      });
    }
  };
  for (const event of ['ready', 'slidechanged', 'fragmentshown', 'fragmenthidden']) deck.on(event, light);
}
