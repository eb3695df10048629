// A terminal beside a demo's slide, in which the demo plays: only in a deck that
// `present.sh --live` serves. In a file, on paper and in the small slides of the
// speaker view there is none.
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

const KEY = 'container-workshop-terminal';
const CLICKER = '\x1b[6~'; // PageDown, as a terminal sends it

// The link has a code that is good for one use: it leaves the address at once, and
// is exchanged for the token. A reload finds that where only this tab does.
const [, code] = location.hash.match(/^#live=(\w+)$/) ?? [];
if (code) history.replaceState(null, '', location.pathname + location.search);

async function admission() {
  if (!code) return sessionStorage.getItem(KEY);
  const answer = await fetch('token', { method: 'POST', body: code });
  if (!answer.ok) return null;
  sessionStorage.setItem(KEY, await answer.text());
  return sessionStorage.getItem(KEY);
}

const make = (tag, className, text = '') => {
  const element = Object.assign(document.createElement(tag), { className, textContent: text });
  if (tag === 'button') element.type = 'button';
  return element;
};

export async function followTerminal(deck) {
  if (location.protocol !== 'http:' || deck.isSpeakerNotes() || deck.isPrintView()) return;
  const token = await admission().catch(() => null);
  if (!token) return;

  const opener = make('button', 'live-opener');
  const panel = make('aside', 'live-panel');
  const title = make('b', 'live-title');
  const closer = make('button', 'live-closer', 'Back to the slides · F9');
  const place = make('div', 'live-place');
  const bar = make('div', 'live-bar');
  bar.append(title, closer);
  panel.append(bar, place);
  panel.setAttribute('aria-label', 'The demo, live');
  document.body.append(opener);

  let now = null; // what is open

  // The demo of a slide's column, and the first of its scenes in the talk.
  const demoHere = () => {
    const main = deck.getCurrentSlide()?.parentNode.querySelector('[data-demo]');
    return main && { demo: Number(main.dataset.demo), scene: parseInt(main.dataset.scenes, 10) };
  };

  const close = () => {
    if (!now) return;
    const { socket, terminal, watcher } = now;
    now = null;
    socket.close();
    watcher.disconnect();
    terminal.dispose();
    panel.remove();
    document.documentElement.classList.remove('live');
    deck.layout();
    offer();
  };

  const open = () => {
    const here = demoHere();
    if (now || !here) return;
    document.body.append(panel);
    document.documentElement.classList.add('live');
    deck.layout();
    title.textContent = `Demo ${here.demo}, in the playground`;
    const terminal = new Terminal({
      fontFamily: '"JetBrains Mono", monospace', fontSize: 20, cursorBlink: true, scrollback: 5000, theme: colours(),
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(place);
    // As large as on the slides, whatever the window's size.
    const size = () => {
      terminal.options.fontSize = Math.max(12, Math.round((20 * innerWidth) / 1280));
      fit.fit();
    };
    size();
    const socket = new WebSocket(new URL('terminal', location.href.replace('http', 'ws').replace(/#.*/, '')));
    socket.binaryType = 'arraybuffer';
    const say = (what) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(what));
    const measures = () => ({ columns: terminal.cols, rows: terminal.rows });
    const watcher = new ResizeObserver(size);
    now = { socket, terminal, watcher, ended: false };
    socket.onopen = () => {
      say({ open: { token, ...here, ...measures() } });
      watcher.observe(place);
    };
    socket.onmessage = ({ data }) => terminal.write(new Uint8Array(data), () => say({ shown: data.byteLength }));
    socket.onclose = ({ code: number, reason }) => {
      if (now?.socket !== socket) return;
      now.ended = true;
      const why = number === 1000 ? 'The demo has ended' : `The terminal is closed: ${reason || 'present.sh has ended'}`;
      terminal.write(`\r\n\x1b[2m${why}. Enter, or the clicker: back to the slides.\x1b[0m`);
    };
    terminal.onResize(() => say({ size: measures() }));
    const bytes = new TextEncoder();
    const type = (data) => {
      // What is pasted may be long: in pieces.
      for (let all = bytes.encode(data); all.length && socket.readyState === WebSocket.OPEN; all = all.subarray(1 << 14)) {
        socket.send(all.subarray(0, 1 << 14));
      }
    };
    terminal.onData((data) => (now.ended ? close() : type(data)));
    terminal.onBinary((data) => type(data));
    panel.terminal = terminal; // for the tests
    terminal.focus();
  };

  // F9, wherever the focus is. The clicker goes on in the demo, even after somebody
  // has clicked on the slide.
  addEventListener('keydown', (event) => {
    if (event.key === 'F9') {
      (now ? close : open)();
    } else if (now && event.key === 'PageDown' && (now.ended || !panel.contains(document.activeElement))) {
      if (now.ended) close();
      else now.terminal.input(CLICKER);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }, true);
  opener.addEventListener('click', open);
  closer.addEventListener('click', close);

  const offer = () => {
    const here = demoHere();
    opener.hidden = !here || Boolean(now);
    opener.textContent = here ? `Demo ${here.demo} live · F9` : '';
  };
  deck.on('slidechanged', ({ previousSlide, currentSlide }) => {
    if (previousSlide?.parentNode !== currentSlide.parentNode) close();
    offer();
  });
  offer();
}

// The deck's own, of this theme.
function colours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ['ink', 'attack', 'safe', 'hole', 'clay', 'hole', 'clay', 'soft'];
  const ansi = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
  const bright = (name) => `bright${name[0].toUpperCase()}${name.slice(1)}`;
  return {
    background: colour('screen'), foreground: colour('ink'), cursor: colour('ink'), cursorAccent: colour('screen'),
    selectionBackground: colour('fresh'), selectionForeground: colour('on-fresh'),
    ...Object.fromEntries(ansi.flatMap((name, at) => [[name, colour(names[at])], [bright(name), colour(names[at])]])),
  };
}
