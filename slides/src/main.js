import Reveal from 'reveal.js';
import Notes from 'reveal.js/plugin/notes';
import 'reveal.js/reveal.css';
import './style.css';
import { followCasts } from './casts.js';
import { followLight } from './light.js';
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
  pdfSeparateFragments: false,
  pdfMaxPagesPerSlide: 1,
  plugins: [Notes],
});

followLight(deck);
followCasts(deck);
const ready = () => {
  performance.mark('ready');
  document.documentElement.dataset.ready = 'yes';
};
deck.on('pdf-ready', ready);
deck.initialize().then(() => {
  deck.addKeyBinding({ keyCode: 84, key: 'T', description: 'Light or dark' }, toggleTheme);
  if (!deck.isPrintView()) ready();
});
