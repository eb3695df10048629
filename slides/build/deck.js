// Puts the deck together: slides from deck/, pictures from pictures/, code from
// steps/, output from casts/, the matrix from the attacks. Anything missing
// or stale is an error, and then there is no deck.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { parse } from 'node-html-parser';
import { addressOf, qrCode } from './address.js';
import { cutItems, fold, highlight, stepsOf } from './code.js';
import { exerciseMinutes, fill, inScript, plansPage, playerData, preparation } from './pages.js';
import { placeMoments } from './moments.js';
import { checkCast, cutOutput, cutWords, readCast, toHtml } from './output.js';
import { checkMatrix, matrixTables } from './matrix.js';
import { cutTable } from './table.js';
import { commandsOf, demoOf, minutes, scenesOf, seconds } from './plan.js';
import { colourShell } from './shell.js';
import { wall } from './wall.js';

const list = (text) => (text ? text.split(' | ') : []);

export function assemble(root) {
  const slides = join(root, 'slides');
  const read = (...path) => readFileSync(join(...path), 'utf8');
  const steps = readdirSync(join(root, 'steps')).filter((name) => /^\d\d-/.test(name)).sort();
  const scripts = readdirSync(join(root, 'scripts')).filter((name) => /^\d\d-.*\.sh$/.test(name)).sort();
  const casts = {};
  const scenes = {};
  const used = [];
  const note = (path) => used.push(path) && path;

  const castOf = (number) => {
    const name = basename(scripts[number] ?? `(no demo ${number})`, '.sh');
    if (!casts[name]) {
      casts[name] = readCast(read(note(join(slides, 'casts', `${name}.cast`))), name);
      const titles = scenesOfDemo(number).map(({ title }) => title);
      checkCast(casts[name], name, titles, commandsOf(join(root, 'scripts', scripts[number])));
    }
    return [name, casts[name]];
  };
  const scenesOfDemo = (number) => {
    scenes[number] ??= scenesOf(note(join(root, 'scripts', scripts[number] ?? `(no demo ${number})`)));
    return scenes[number];
  };

  const readMatrix = () => {
    const all = read(note(join(root, 'steps/attacks/src/lib.rs'))).match(/pub const ALL[^;]*;/)[0];
    const attacks = [...all.matchAll(/(\w+)::ATTACK/g)].map(([, name]) => name.replaceAll('_', '-'));
    const matrix = JSON.parse(read(note(join(root, 'steps/attacks/matrix.json'))));
    // A step that has no attacks of its own yet has no column.
    const judged = read(note(join(root, 'steps/testbed/src/lib.rs'))).match(/pub const ALL_STEPS[^;]*;[^;]*;/)[0];
    checkMatrix(matrix, attacks, [...judged.matchAll(/"(\d\d)-/g)].map(([, number]) => number));
    return matrix;
  };

  const elements = {
    'deck-wall': ({ step, coloured }) => wall(step && Number(step), coloured !== undefined),

    // In a picture, `deck-run` names a command that a demo typed, and `deck-cut` shows
    // words of it.
    'deck-picture': ({ name, label }) => {
      if (!label) throw new Error(`the picture ${name} needs a label, for who can't see it`);
      const runs = {};
      const svg = read(note(join(slides, 'pictures', `${name}.svg`))).replace(/ *<deck-(run|cut)(?:"[^"]*"|'[^']*'|[^>"'])*\/>\n?/g, (element, is) => {
        const { name: run, demo, command, of, match, add } = parse(element).querySelector(`deck-${is}`).attributes;
        if (is === 'run') {
          runs[run] = [castOf(demo)[1], command];
          return '';
        }
        if (!runs[of]) throw new Error(`the picture ${name} names no run ${of}`);
        return cutWords(...runs[of], match, add);
      });
      return `<div class="picture" role="img" aria-label="${label}">${svg}</div>`;
    },

    // Whole items of a file; what is folded; and which lines are lit, one after another.
    'deck-code': ({ file, documented }, element) => {
      const [items, folds, lights] = ['cut', 'fold', 'light'].map((tag) => element.querySelectorAll(tag).map(({ text }) => text));
      const source = read(note(join(root, 'steps', file)));
      const cut = folds.reduce(fold, cutItems(source, items, documented !== undefined));
      return `<figure class="source${cut.length <= 16 ? ' roomy' : ''}"><figcaption>steps/${file}</figcaption>`
        + `${highlight(cut, stepsOf(cut, lights), items.join(', '))}</figure>`;
    },

    'deck-shell': ({ file, label }) => `<figure class="source shell"><figcaption>${label}</figcaption>`
      + `<pre tabindex="0" aria-label="${label}"><code>${colourShell(read(note(join(slides, 'shell', file))))}</code></pre></figure>`,

    // Of a verdict, the room guesses first: from the beginning, or when `asked`.
    'deck-output': ({ demo, command, lines, label, later, at, verdict: given, ask, asked }) => {
      const output = cutOutput(castOf(demo)[1], command, list(lines));
      const verdict = given ?? output.join('\n').match(/WORKED|STOPPED/)?.[0].toLowerCase() ?? '';
      const when = at ? ` at="${at}"` : '';
      const shown = `<figure class="output ${verdict}${later === undefined ? '' : ' fragment'}"${when}>`
        + `${label ? `<figcaption>${label}</figcaption>` : ''}`
        + `<div class="typed">${toHtml(command)}</div><pre>${toHtml(output.join('\n'))}</pre></figure>`;
      if (!ask) return shown;
      const question = `<p class="ask" until="${at}"><b>Your guess?</b> ${ask.replace(/`([^`]+)`/g, '<code>$1</code>')}</p>`;
      return `<div class="guess">${asked ? `<div at="${asked}">${question}</div>` : question}${shown}</div>`;
    },

    'deck-attacks': () => String(readMatrix().attacks.length),

    'deck-matrix': ({ from, to }) => `<div class="matrix">${matrixTables(readMatrix(), from, to)}</div>`,

    // Some rows of a table that is generated into a lesson.
    'deck-table': ({ lesson, generated, rows }) => {
      const page = read(note(join(root, 'steps', lesson, 'README.md')));
      return cutTable(page, generated, list(rows));
    },

    // The address, for whoever wants to type it or to hold up a phone; without
    // one, what stands in its place.
    'deck-clone': (_, { innerHTML: instead }) => {
      const address = addressOf(root);
      const clone = `git clone ${address}`;
      const size = Math.max(24, Math.min(30, Math.floor(900 / (0.6 * clone.length))));
      const commands = [clone, `cd ${basename(address)}`, './scripts/setup.sh', './scripts/demo.sh'].map((one) => `<code>${one}</code>`);
      const shown = address ? `${qrCode(address)}<p class="commands" style="font-size:${size}px">${commands.join('')}</p>` : instead;
      return `<div class="clone" data-address="${address}">${shown}</div>`;
    },

    'deck-cast': ({ demo }) => {
      const [name, { header, scenes: marks, duration }] = castOf(demo);
      const rows = marks.map(({ time, title }) => `<li><span>${minutes(Math.floor(time))}</span> ${title}</li>`);
      return `<div class="cast" data-cast="${name}">`
        + `<h2 class="still">Demo ${demo}: ${header.title}<small>a recording: in the browser it plays here</small></h2>`
        + `<ol class="still" aria-label="The scenes, and when they begin">${rows.join('')}</ol>`
        + `<p class="still">${minutes(Math.ceil(duration))} in all</p></div>`;
    },
  };

  const groups = readdirSync(join(slides, 'deck')).filter((name) => name.endsWith('.html')).sort().map((name) => {
    const file = note(join(slides, 'deck', name));
    try {
      const group = parse(read(file), { comment: false, blockTextElements: { pre: true } });
      if (group.querySelector('pre')) throw new Error('no code and no output is typed into a slide: cut it');
      for (const [tag, make] of Object.entries(elements)) {
        for (const element of group.querySelectorAll(tag)) element.replaceWith(make(element.attributes, element));
      }
      for (const section of group.querySelectorAll('section > section')) section.innerHTML = placeMoments(section.innerHTML);
      return group;
    } catch (error) {
      throw new Error(`${relative(root, file)}: ${error.message}`, { cause: error });
    }
  });

  const plan = { slides: 0, demos: 0, each: [] };
  const mains = groups.map((group) => group.querySelector('section > section'));
  const times = mains.map((main) => {
    const { 'data-minutes': own, 'data-demo': number, 'data-scenes': range } = main.attributes;
    const demo = number && demoOf(number, scenesOfDemo(number), range);
    return { own: seconds(own ?? ''), demo };
  });
  const total = {
    slides: times.reduce((sum, { own }) => sum + own, 0),
    demos: times.reduce((sum, { demo }) => sum + (demo?.seconds ?? 0), 0),
  };
  mains.forEach((main, at) => {
    const { own, demo } = times[at];
    plan.slides += own;
    plan.demos += demo?.seconds ?? 0;
    main.setAttribute('data-seconds', String(own));
    main.setAttribute('data-demo-seconds', String(demo?.seconds ?? 0));
    main.setAttribute('data-timing', String(own + (demo?.seconds ?? 0)));
    const clock = `<p class="clock"><b>${minutes(own)}</b>${demo ? ` and <b>${minutes(demo.seconds)}</b> of demo` : ''}. `
      + `At its end ${minutes(plan.slides + plan.demos)} of ${minutes(total.slides + total.demos)} are gone; `
      + `without demos ${minutes(plan.slides)} of ${minutes(total.slides)}.</p>`;
    const command = demo ? `<p class="demo">Demo: <code>${demo.command}</code><br>${demo.titles.join(' · ')}${
      demo.leave ? `. Leave with q after “${demo.titles.at(-1)}”` : ''}</p>` : '';
    const notes = main.querySelector('aside.notes');
    if (!notes) throw new Error(`#${main.id} has no notes`);
    notes.insertAdjacentHTML('afterbegin', clock + command);
    plan.each.push({ id: main.id, own, demo, notes: notes.innerHTML });
  });
  for (const group of groups) {
    for (const detail of group.querySelectorAll('section > section').slice(1)) {
      detail.setAttribute('data-timing', '0');
      const notes = detail.querySelector('aside.notes');
      if (!notes) throw new Error(`#${detail.id} has no notes`);
      notes.insertAdjacentHTML('afterbegin', '<p class="clock">A detail, beside the plan: show it when somebody asks.</p>');
    }
  }
  const plans = JSON.parse(read(note(join(slides, 'plans.json'))));
  const given = plansPage(plans, {
    mains: plan.each.map((main) => ({ ...main, late: main.notes.match(/class="late">([^]*?)<\/p>/)?.[1] })),
    demoLength: (number) => scenesOfDemo(number).reduce((sum, { seconds: takes }) => sum + takes, 0),
    exerciseMinutes: exerciseMinutes(root),
  });
  const player = inScript(playerData(root, readMatrix()));
  const pages = (style) => ({
    'give.html': fill(read(note(join(slides, 'pages/give.html'))), style, {
      '<!-- plans -->': given.plans, '<!-- links -->': given.links, '<!-- command -->': preparation(addressOf(root)),
    }),
    'player.html': fill(read(note(join(slides, 'pages/player.html'))), style, { '/* data */null': player }),
  });
  return { html: groups.map(String).join('\n'), plan, plans, used, pages };
}

// For vite: fills index.html, and adds the pages beside it.
export function deck(root) {
  let made;
  return {
    name: 'deck',
    transformIndexHtml: {
      order: 'pre',
      handler(html) {
        made = assemble(root);
        return html.replace('<!-- deck -->', () => made.html);
      },
    },
    generateBundle: {
      order: 'post', // only then is the style's name known
      handler(_, bundle) {
        const style = Object.keys(bundle).find((name) => name.endsWith('.css'));
        for (const [fileName, source] of Object.entries(made.pages(style))) this.emitFile({ type: 'asset', fileName, source });
      },
    },
    configureServer(server) {
      server.watcher.add(assemble(root).used);
      server.watcher.on('change', () => server.ws.send({ type: 'full-reload' }));
    },
  };
}

// A browser refuses module scripts to a page that was opened as a file. So there
// is one classic script, and nothing is fetched with CORS.
export function opensAsFile() {
  return {
    name: 'opens-as-file',
    enforce: 'post',
    transformIndexHtml: {
      order: 'post',
      handler: (html) => html.replaceAll('type="module" crossorigin', 'defer').replaceAll(' crossorigin', ''),
    },
  };
}
