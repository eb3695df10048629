import Reveal from 'reveal.js';
import Notes from 'reveal.js/plugin/notes';
import 'reveal.js/reveal.css';
import './style.css';
import { followCasts } from './casts.js';
import { forgetDetails, mainLine } from './line.js';
import { followTerminal } from './live.js';
import { chooseTheme, toggleTheme } from './theme.js';

chooseTheme();

const deck = new Reveal(document.querySelector('.reveal'), {
  width: 1280,
  height: 720,
  margin: 0,
  minScale: 0.1,
  maxScale: 5,
  center: false,
  hash: true,
  transition: 'none',
  backgroundTransition: 'none',
  slideNumber: false,
  controlsTutorial: false,
  // A phone held upright shows a small slide, and no page to scroll.
  scrollActivationWidth: null,
  // What a slide without data-timing takes; without it, there is no pacing clock.
  defaultTiming: 0,
  pdfSeparateFragments: false,
  pdfMaxPagesPerSlide: 1,
  plugins: [Notes],
});

forgetDetails(deck);
followCasts(deck);
const ready = () => {
  performance.mark('ready');
  document.documentElement.dataset.ready = 'yes';
};
deck.on('pdf-ready', ready);
deck.initialize({ keyboard: mainLine(deck) }).then(() => {
  deck.addKeyBinding({ keyCode: 84, key: 'T', description: 'Light or dark' }, toggleTheme);
  followTerminal(deck);
  if (!deck.isPrintView()) ready();
});
