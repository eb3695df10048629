// The main line: the first slide of each column. A clicker goes along it, and so
// does the space bar. A detail is beside it: the down arrow leads in, and any of
// these keys out again.
const [SPACE, PAGE_UP, PAGE_DOWN, N, P] = [32, 33, 34, 78, 80];

export function mainLine(deck) {
  const forth = () => deck.right();
  const back = () => {
    if (deck.prevFragment()) return;
    const { h, v } = deck.getIndices();
    if (v > 0) deck.slide(h, 0);
    else deck.left();
  };
  const space = ({ shiftKey }) => {
    if (deck.isOverview()) deck.toggleOverview(false);
    else (shiftKey ? back : forth)();
  };
  return { [SPACE]: space, [PAGE_DOWN]: forth, [N]: forth, [PAGE_UP]: back, [P]: back };
}

// Reveal comes back to the detail that was shown last in a column.
export function forgetDetails(deck) {
  deck.on('slidechanged', ({ previousSlide }) => previousSlide?.parentNode.removeAttribute('data-previous-indexv'));
}
