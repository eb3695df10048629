// Where the browser is: what CHROMIUM says, or else the first one on PATH.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

export function findChromium() {
  const places = process.env.PATH.split(delimiter).flatMap((directory) => NAMES.map((name) => join(directory, name)));
  const found = process.env.CHROMIUM ?? places.find((place) => existsSync(place));
  if (!found) throw new Error('there is no chromium. Try: ./scripts/setup.sh --slides');
  return found;
}
