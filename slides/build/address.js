// Where this workshop is cloned from, for the last slide: what WORKSHOP_URL says,
// or else the remote `origin`. None, if that is no place on the net.
import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderSVG } from 'uqr';

// For a browser, and without anybody's password.
export function webAddress(remote) {
  const [, host, path] = remote.trim().match(/^(?:https?:\/\/|ssh:\/\/|git:\/\/)?(?:[^@/\s]+@)?([\w-]+(?:\.[\w-]+)+(?::\d+)?)[/:]([\w.~/-]+?)(?:\.git)?\/?$/) ?? [];
  if (!host) return '';
  const port = /^https?:/.test(remote) ? '' : /:\d+$/;
  return `${remote.startsWith('http:') ? 'http' : 'https'}://${host.replace(port, '')}/${path.replace(/^\/+/, '')}`;
}

export function addressOf(root) {
  const origin = () => {
    try {
      return execFileSync('git', ['-C', root, 'remote', 'get-url', 'origin'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    } catch {
      return ''; // no git, no checkout, or no remote
    }
  };
  return webAddress(process.env.WORKSHOP_URL ?? origin());
}

// Dark on light in both themes, with the quiet rim that a reader needs.
export const qrCode = (text) => renderSVG(text, { border: 4, ecc: 'M' });

// A checkout may be reached by a link.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  console.log(addressOf(fileURLToPath(new URL('../..', import.meta.url))));
}
