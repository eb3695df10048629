// Recorded demos. A player is made when its slide is shown, and goes with it:
// not on paper, and not in the small slides of the speaker view.
import { create } from 'asciinema-player';
import 'asciinema-player/dist/bundle/asciinema-player.css';

const casts = import.meta.glob('../casts/*.cast', { query: '?raw', import: 'default', eager: true });

export function followCasts(deck) {
  let player = null;
  const show = () => {
    player?.dispose();
    player = null;
    const place = deck.getCurrentSlide()?.querySelector('.cast');
    if (!place || deck.isSpeakerNotes() || deck.isPrintView()) return;
    player = create({ data: casts[`../casts/${place.dataset.cast}.cast`] }, place, {
      fit: 'width',
      terminalLineHeight: 1.1,
      terminalFontFamily: '"JetBrains Mono", monospace',
      idleTimeLimit: 3,
      controls: true,
      autoPlay: true,
      theme: 'deck',
    });
    place.player = player;
  };
  for (const event of ['ready', 'slidechanged']) deck.on(event, show);
}
